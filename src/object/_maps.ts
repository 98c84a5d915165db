import { MAP_TYPES } from '../bpf/index.ts';
import type { Btf, BtfStruct } from '../btf/index.ts';
import { sectionVariables } from './_datasec.ts';
import { ObjectError } from './error.ts';
import type { Opening } from './open.ts';
import type { MapBlueprint, ObjectFile } from './types.ts';

/** Maps defined in `.maps`, in the order of their datasec, with the offsets that relocations name. */
export function definedMaps(opening: Opening): MapBlueprint[] {
  return mapVariables(opening).map(({ name, struct }) => readMap(opening.btf!, name, struct, false));
}

/** The variables of `.maps`: where each lies, and its definition. */
export function mapVariables(opening: Opening): { name: string; offset: number; struct: BtfStruct }[] {
  const { btf, sections } = opening;
  if (sections.has('maps'))
    throw new ObjectError("legacy map definitions in section 'maps' are not supported; define maps by BTF in '.maps'", {
      where: 'maps',
      kind: 'unsupported',
      code: 'OBJECT_LEGACY_MAPS',
    });
  const section = sections.get('.maps');
  if (section === undefined || section.size === 0) return [];
  return sectionVariables(opening, section).map(({ name, offset, type }) => {
    const struct = btf!.resolve(type);
    if (struct.kind !== 'struct')
      throw new ObjectError(`definition is a ${struct.kind}, not a struct`, { where: `.maps:${name}` });
    return { name, offset, struct };
  });
}

/** The value of `__uint(name, n)`: `int (*name)[n]`. */
function uint(btf: Btf, type: number, where: string): number {
  const pointer = btf.resolve(type);
  const array = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : pointer;
  if (array.kind !== 'array') throw new ObjectError(`expected __uint(), found ${array.kind}`, { where });
  return array.length;
}

function readMap(btf: Btf, name: string, struct: BtfStruct, isInner: boolean): MapBlueprint {
  const map: MapBlueprint = {
    name,
    type: 0,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    extra: 0n,
    numaNode: 0,
    pinned: false,
    keyTypeId: 0,
    valueTypeId: 0,
    readonly: false,
    slots: [],
  };
  for (const member of struct.members) {
    const where = `.maps:${name}.${member.name}`;
    switch (member.name) {
      case 'type':
        map.type = uint(btf, member.type, where);
        break;
      case 'max_entries':
        map.maxEntries = uint(btf, member.type, where);
        break;
      case 'map_flags':
        map.flags = uint(btf, member.type, where);
        break;
      case 'numa_node':
        map.numaNode = uint(btf, member.type, where);
        break;
      case 'map_extra': {
        // __ulong(): the only enumerator of an anonymous enum.
        const type = btf.resolve(member.type);
        const target = type.kind === 'ptr' ? btf.resolve(type.type) : type;
        if (target.kind === 'array') map.extra = BigInt(target.length);
        else if (target.kind === 'enum' || target.kind === 'enum64') map.extra = target.values[0]?.value ?? 0n;
        else throw new ObjectError(`expected __uint() or __ulong(), found ${target.kind}`, { where });
        break;
      }
      case 'pinning':
        map.pinned = uint(btf, member.type, where) === 1;
        break;
      case 'key_size':
      case 'value_size': {
        const size = uint(btf, member.type, where);
        if (member.name === 'key_size') map.keySize = size;
        else map.valueSize = size;
        break;
      }
      case 'key':
      case 'value': {
        const pointer = btf.type(member.type);
        if (pointer.kind !== 'ptr') throw new ObjectError(`expected __type(), found ${pointer.kind}`, { where });
        const size = btf.sizeOf(pointer.type);
        if (member.name === 'key') Object.assign(map, { keySize: size, keyTypeId: pointer.type });
        else Object.assign(map, { valueSize: size, valueTypeId: pointer.type });
        break;
      }
      case 'values':
        if (isInner) throw new ObjectError("inner map cannot have 'values'", { where });
        map.valueSize = 4;
        map.keySize ||= 4;
        readInner(btf, map, member.type, where);
        break;
      default:
        throw new ObjectError('attribute of the map definition is not known', {
          where,
          code: 'OBJECT_MAP_ATTRIBUTE',
          kind: 'unsupported',
        });
    }
  }
  if (map.type === 0) throw new ObjectError('map has no type', { where: `.maps:${name}` });
  if (map.type >= MAP_TYPES.length)
    throw new ObjectError(`map type ${map.type} is not known`, {
      where: `.maps:${name}`,
      kind: 'unsupported',
      code: 'OBJECT_MAP_TYPE',
    });
  return map;
}

/** `__array(values, struct inner)` of maps of maps, `__array(values, void (void))` of prog arrays. */
function readInner(btf: Btf, map: MapBlueprint, type: number, where: string): void {
  const array = btf.resolve(type);
  if (array.kind !== 'array') throw new ObjectError(`expected __array(), found ${array.kind}`, { where });
  const element = btf.resolve(array.element);
  const target = element.kind === 'ptr' ? btf.resolve(element.type) : undefined;
  if (target?.kind === 'struct') map.inner = readMap(btf, `${map.name}.inner`, target, true);
  else if (target?.kind !== 'func_proto') throw new ObjectError('values are neither maps nor functions', { where });
}

/** Relocations of `.maps`: initial values of prog arrays and maps of maps. */
export function fillSlots(opening: Opening, file: ObjectFile): void {
  const section = opening.sections.get('.maps');
  if (section === undefined) return;
  const variables = mapVariables(opening).sort((a, b) => a.offset - b.offset);
  for (const relocation of opening.elf.relocations(section)) {
    const owner = variables.findLast(({ offset }) => offset <= relocation.offset);
    const values = owner?.struct.members.find((member) => member.name === 'values');
    const where = `.rel.maps+${relocation.offset}`;
    if (owner === undefined || values === undefined)
      throw new ObjectError('relocation points to no values of a map', { where });
    const start = owner.offset + values.bitOffset / 8;
    const index = (relocation.offset - start) / 8;
    if (index < 0 || !Number.isInteger(index))
      throw new ObjectError('relocation points between values of a map', { where });
    const symbol = opening.elf.symbols[relocation.symbol]!;
    const map = file.maps.find(({ name }) => name === owner.name)!;
    map.slots.push({ index, name: symbol.name });
  }
}
