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
  const symbols = symbolsOf(elf, section);
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

const symbolsOf = ({ symbols }: Opening['elf'], section: ElfSection): Map<string, number> =>
  new Map(
    symbols
      .filter((symbol) => symbol.section === section.index && symbol.name !== '')
      .map((symbol) => [symbol.name, Number(symbol.value)]),
  );

/** Entries of a section's BTF where its symbols lie, by place; undefined where BTF does not list the section. */
export function placedVariables(
  { btf, elf }: Opening,
  section: ElfSection,
): { type: number; offset: number; size: number }[] | undefined {
  const id = btf?.find(section.name, 'datasec');
  const datasec = id === undefined ? undefined : btf!.type(id);
  if (datasec?.kind !== 'datasec') return undefined;
  const symbols = symbolsOf(elf, section);
  return datasec.entries
    .map(({ type, offset, size }) => ({ type, offset: symbols.get(btf!.name(type)) ?? offset, size }))
    .sort((a, b) => a.offset - b.offset);
}
