import type { ElfSection } from '../elf/index.ts';
import { ObjectError } from './error.ts';
import type { Opening } from './open.ts';

/** A variable of a section: its name, place and BTF type. */
export interface SectionVariable {
  name: string;
  offset: number;
  size: number;
  type: number;
}

/**
 * The variables that BTF lists for a section, in BTF's order. clang leaves their offsets to the linker; they are those of
 * the ELF symbols (btf_fixup_datasec of libbpf).
 */
export function sectionVariables({ btf, elf }: Opening, section: ElfSection): SectionVariable[] {
  const id = btf?.find(section.name, 'datasec');
  const datasec = id === undefined ? undefined : btf!.type(id);
  if (datasec?.kind !== 'datasec')
    throw new ObjectError(`BTF has no datasec '${section.name}'`, { where: section.name });
  const symbols = new Map(
    elf.symbols
      .filter((symbol) => symbol.section === section.index && symbol.name !== '')
      .map((symbol) => [symbol.name, Number(symbol.value)]),
  );
  return datasec.entries.map((entry) => {
    const variable = btf!.type(entry.type);
    if (variable.kind !== 'var')
      throw new ObjectError(`entry at ${entry.offset} is a ${variable.kind}, not a variable`, { where: section.name });
    const place = {
      name: variable.name,
      offset: symbols.get(variable.name) ?? entry.offset,
      size: entry.size,
      type: variable.type,
    };
    if (place.offset + place.size > section.size)
      throw new ObjectError('variable lies past the end of its section', { where: `${section.name}:${variable.name}` });
    return place;
  });
}
