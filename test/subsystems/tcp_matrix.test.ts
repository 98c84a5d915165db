import { describe, expect, it } from 'vitest';
import { MATRIX_LINKS, runMatrix } from '../../src/oracle/matrix.ts';
import { btf, example, file } from '../support.ts';

/** `npm run matrix` runs all of them for a minute over ten links; here it is a third of a second, each over two. */
const OBJECTS: readonly (readonly [string, () => Uint8Array, string])[] = [
  ...['bbr_like', 'dctcp'].map((name) => [name, () => example(name), '6.12'] as const),
  ...['allops'].map(
    (name) => [`cc_${name}`, () => file(`test/golden/linux-6.12/obj/cc_${name}.bpf.o`), '6.12'] as const,
  ),
  ['so05_maps', () => file('test/golden/linux-6.18/obj/so05_maps.bpf.o'), '6.18+hashfix'],
];

describe('congestion controls in every CFI mode', () => {
  it.each(OBJECTS)('%s: no fault, and the same result', (name, bytes, release) => {
    const at = OBJECTS.findIndex(([other]) => other === name);
    const links = [MATRIX_LINKS[at % 10]!, MATRIX_LINKS[(at + 5) % 10]!];
    const rows = [...runMatrix(name, bytes(), { release, btf: btf(release), seconds: 0.3, links })];
    expect(rows).toHaveLength(2);
    for (const { outcome, detail } of rows) expect([outcome, detail]).toEqual(['same', '']);
  });
});
