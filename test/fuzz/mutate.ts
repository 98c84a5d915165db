import { Random } from '../../src/base/index.ts';
import { readElf } from '../../src/elf/index.ts';

/** Values that bounds checks get wrong. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
const WORDS = new Set(['.BTF', '.BTF.ext', '.symtab', '.maps', '.struct_ops', '.struct_ops.link']);

/** One seeded mutant of an ELF object: bytes flipped, cut, spliced, or a field replaced by an edge value. */
export function mutate(object: Uint8Array, seed: number): Uint8Array {
  const random = new Random(seed);
  const mutant = object.slice();
  const view = new DataView(mutant.buffer);
  const { sections } = readElf(object);
  const word = (at: number) => {
    if (at >= 0 && at + 4 <= mutant.length) view.setUint32(at, EDGES[random.below(EDGES.length)]!, true);
  };
  for (let edits = 1 + random.below(4); edits > 0; edits--) {
    const section = sections[random.below(sections.length)]!;
    switch (random.below(8)) {
      case 0:
        mutant[random.below(mutant.length)]! ^= 1 << random.below(8);
        break;
      case 1:
        return mutant.subarray(0, random.below(mutant.length));
      case 2: {
        const size = 1 + random.below(64);
        mutant.copyWithin(random.below(mutant.length), random.below(mutant.length), random.below(mutant.length) + size);
        break;
      }
      case 3:
        // A field of a section header.
        word(view.getUint32(40, true) + 64 * random.below(sections.length) + 4 * random.below(16));
        break;
      case 4:
        word(random.below(64) & ~3);
        break;
      case 5: {
        const chosen = sections.filter(({ name, size }) => size > 4 && (WORDS.has(name) || name.startsWith('.rel')));
        const target = chosen[random.below(chosen.length)] ?? section;
        word(target.offset + (random.below(Math.max(4, target.data.length - 4)) & ~3));
        break;
      }
      case 6:
        if (section.data.length > 0) mutant[section.offset + random.below(section.data.length)] = random.below(256);
        break;
      default:
        for (let i = 0; i < 8 && section.data.length > 8; i++)
          mutant[section.offset + random.below(section.data.length)] = EDGES[random.below(EDGES.length)]! & 0xff;
    }
  }
  return mutant;
}
