import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Choices, Guest, SoundnessCheck, VALUE_SIZE, verifiableProgram } from '../../src/conformance/index.ts';
import { makeTarget } from '../../src/target/index.ts';
import { ExploredPaths, RunFollower, verifyProgram } from '../../src/verifier/index.ts';
import { btf } from '../support.ts';
import { program } from '../verifier/programs.ts';

/** A list of numbers as choices, so that a failing program shrinks; 0 when it is used up. */
function listed(numbers: readonly number[]): Choices {
  let at = 0;
  return { below: (bound) => Math.floor(((numbers[at++] ?? 0) / 0x1_0000_0000) * bound) };
}

const numbers = fc.array(fc.nat(0xffffffff), { minLength: 120, maxLength: 500, size: 'max' });
const value = fc.uint8Array({ minLength: VALUE_SIZE, maxLength: VALUE_SIZE });

describe('soundness of the verifier', () => {
  it('holds for random programs: every value of a run lies in what was known, and accepted programs run', () => {
    const guest = new Guest(makeTarget({ release: '6.18', cfi: 'off', btf: btf('6.18') }));
    const check = new SoundnessCheck(btf('6.18'), guest);
    const outcomes: Record<string, number> = {};
    fc.assert(
      fc.property(numbers, fc.tuple(value, value), (choices, values) => {
        const outcome = check.check(verifiableProgram(listed(choices)), values);
        outcomes[outcome.verdict] = (outcomes[outcome.verdict] ?? 0) + 1;
        if (outcome.verdict === 'unsound' || outcome.verdict === 'differs') expect.fail(outcome.why);
      }),
      { numRuns: 80, seed: 618 },
    );
    expect(outcomes['accepted']).toBeGreaterThan(30);
    expect(outcomes['refused']).toBeGreaterThan(10);
  });

  it('is noticed when it breaks', () => {
    const paths = new ExploredPaths(100);
    verifyProgram({ ...program('ldxw %r6, [%r1]\nand %r6, 7\nmov %r0, %r6\nexit'), exploreAll: true, observer: paths });
    const run = (r6: bigint) => {
      const follower = new RunFollower(paths);
      const states = [0n, 0n, r6, r6].map((known, at) => ({
        at,
        registers: [at === 3 ? known : 0n, 0n, 0n, 0n, 0n, 0n, known, 0n, 0n, 0n, 4096n],
        framePointers: [4096n],
        byteAt: () => 0,
        valueAddress: () => 0n,
      }));
      return states.map((state) => follower.step(state)).find((why) => why !== undefined);
    };
    expect(run(7n)).toBe(undefined);
    expect(run(8n)).toBe('insn 2: r6 = 0x8');
  });
});
