import { describe, expect, it } from 'vitest';
import { TrampetError } from '../../src/base/index.ts';
import { loadObject, StructOpsMap } from '../../src/kernel/index.ts';
import { boot, example, file, resolve } from '../support.ts';
import { mutate } from './mutate.ts';

const OBJECTS: [string, Uint8Array][] = [
  ['reno', example('reno')],
  ['cubic', example('cubic')],
  ['dummy', example('dummy')],
  ['cc_renoish', file('test/golden/linux-6.12/obj/cc_renoish.bpf.o')],
  ['p15_maps', file('test/golden/linux-6.18/obj/p15_maps.bpf.o')],
];
const MUTANTS = 10_000;

/** What a mutant leads to: `fine`, or the code of our error. Anything else that is thrown passes, with the mutant's name. */
function outcome(work: () => void, what: string): string {
  try {
    work();
    return 'fine';
  } catch (error) {
    if (!(error instanceof TrampetError)) throw new Error(`${what}: ${error}`, { cause: error });
    expect(error.message).toMatch(/^[^\n]+$/);
    return error.kind;
  }
}

describe('mutants of real objects', () => {
  it(`${MUTANTS} mutants through open, resolve and load: no foreign exception, no hang, nothing left behind`, () => {
    const kernel = boot('fineibt');
    const idle = [kernel.vmalloc.count, kernel.images.count, kernel.percpu.count, kernel.maps.length];
    const counts = new Map<string, number>();
    let slowest = 0;
    for (let i = 0; i < MUTANTS; i++) {
      const [name, object] = OBJECTS[i % OBJECTS.length]!;
      const mutant = mutate(object, i);
      const start = performance.now();
      const result = outcome(() => {
        const loaded = loadObject(kernel, resolve(mutant, name));
        try {
          for (const table of loaded.resolved.structOps) {
            const map = new StructOpsMap(kernel, table);
            try {
              map.update(table, new Map(loaded.programs.map((program) => [program.name, program])));
              if (map.state === 'INUSE') map.delete();
            } finally {
              map.free();
            }
          }
        } finally {
          loaded.unload();
        }
      }, `${name}, seed ${i}`);
      slowest = Math.max(slowest, performance.now() - start);
      counts.set(result, (counts.get(result) ?? 0) + 1);
    }
    console.log(
      `${MUTANTS} mutants: ${[...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}; slowest ${slowest.toFixed(0)} ms`,
    );
    expect([kernel.vmalloc.count, kernel.images.count, kernel.percpu.count, kernel.maps.length]).toEqual(idle);
    expect(counts.get('unreadable')).toBeGreaterThan(1000);
    expect(counts.get('fine')).toBeGreaterThan(100);
  }, 300_000);

  it('notices a foreign exception', () => {
    const work = () => void (undefined as unknown as { x: number }).x;
    expect(() => outcome(work, 'reno, seed 7')).toThrow(/^reno, seed 7: TypeError/);
  });
});
