import { SHF_ALLOC, SHT } from '../elf/index.ts';
import { placedVariables } from './_datasec.ts';
import { ObjectError } from './error.ts';
import type { Opening } from './open.ts';
import type { ExternBlueprint, MapBlueprint } from './types.ts';

const MAP_TYPE_ARRAY = 2;
const BPF_F_RDONLY_PROG = 1 << 7;
const BPF_F_MMAPABLE = 1 << 10;
/** BPF_OBJ_NAME_LEN without the NUL. */
const NAME_MAX = 15;

/** One-element array maps that stand for data sections, in section order, and for `.kconfig`. */
export function dataMaps(opening: Opening, externs: readonly ExternBlueprint[]): MapBlueprint[] {
  const maps: MapBlueprint[] = [];
  for (const section of opening.elf.sections) {
    const stem = /^\.(data|rodata|bss)(\..+)?$/.exec(section.name)?.[1];
    if (stem === undefined || section.size === 0 || (section.flags & SHF_ALLOC) === 0) continue;
    if (stem === 'bss' ? section.type !== SHT.NOBITS : section.type !== SHT.PROGBITS) continue;
    const initial = new Uint8Array(section.size);
    initial.set(section.data);
    const variables = placedVariables(opening, section);
    const map = internalMap(opening, section.name, initial, stem === 'rodata');
    maps.push(variables === undefined ? map : { ...map, variables });
  }
  const kconfig = externs.filter((extern) => extern.kind === 'kconfig');
  const last = kconfig.at(-1);
  if (last !== undefined) maps.push(internalMap(opening, '.kconfig', new Uint8Array(last.offset + last.size), true));
  return maps;
}

function internalMap(opening: Opening, section: string, initial: Uint8Array, readonly: boolean): MapBlueprint {
  if (initial.length > 0x7fffffff)
    throw new ObjectError(`map of ${initial.length} bytes is too large`, {
      where: section,
      code: 'E2BIG',
      kind: 'refused',
    });
  return {
    name: mapName(opening.name, section),
    type: MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: initial.length,
    maxEntries: 1,
    flags: BPF_F_MMAPABLE | (readonly ? BPF_F_RDONLY_PROG : 0),
    extra: 0n,
    numaNode: 0,
    pinned: false,
    keyTypeId: 0,
    valueTypeId: opening.btf?.find(section, 'datasec') ?? 0,
    initial,
    section,
    readonly,
    slots: [],
  };
}

/** The kernel's name for a data section's map: object prefix and section, 15 characters in all (internal_map_name). */
function mapName(object: string, section: string): string {
  const custom = section.indexOf('.', 1) >= 0;
  const prefix = custom ? '' : object.slice(0, Math.min(NAME_MAX - Math.max(7, section.length), object.length));
  return (prefix + section).slice(0, NAME_MAX).replace(/[^A-Za-z0-9_.]/g, '_');
}
