import { SECTIONS } from './sections.table.ts';

/** What a section's name says about the programs in it. */
export interface SectionMeaning {
  /** Program type, as in PROG_TYPES. */
  type: string;
  /** Expected attach type, as in ATTACH_TYPES; empty where it does not matter. */
  attach: string;
  sleepable: boolean;
  /** Attaches to a function named by its BTF. */
  attachesByBtf: boolean;
  /** What follows the `/`. */
  target: string;
  /** False for `SEC("?…")`: not loaded unless asked for. */
  autoload: boolean;
}

/** Meaning of a program section, as libbpf's find_sec_def (6.12); undefined for an unknown one. */
export function sectionMeaning(section: string): SectionMeaning | undefined {
  const autoload = !section.startsWith('?');
  const name = autoload ? section : section.slice(1);
  for (const [pattern, type, attach, flags] of SECTIONS) {
    const open = pattern.endsWith('+');
    const stem = open ? pattern.slice(0, -1) : pattern;
    if (name !== stem && !(open && name.startsWith(`${stem}/`))) continue;
    return {
      type,
      attach,
      sleepable: flags.includes('s'),
      attachesByBtf: flags.includes('b'),
      target: name.slice(stem.length + 1),
      autoload,
    };
  }
  return undefined;
}
