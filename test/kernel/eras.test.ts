import { describe, expect, it } from 'vitest';
import { BREAK_WAYS, breakMember, KernelOops } from '../../src/kernel/index.ts';
import type { CfiMode, Features } from '../../src/target/index.ts';
import { example, session } from '../support.ts';

const MITIGATIONS: Record<string, Partial<Features>> = {
  none: {},
  retpoline: { retpoline: true },
  lfence: { retpoline: true, retpolineLfence: true },
  rethunk: { rethunk: true },
  its: { its: true, rethunk: true },
  calldepth: { callDepth: true, retpoline: true, rethunk: true },
  harden: { jitHarden: 2 },
  'sls, nobmi2': { sls: true, bmi2: false },
};
const KERNELS: readonly [release: string, cfi: CfiMode, features: Partial<Features>][] = [
  ...(['off', 'kcfi', 'fineibt'] as const).flatMap((cfi) =>
    ['6.8', '6.12', '6.18+hashfix'].map((release): [string, CfiMode, Partial<Features>] => [release, cfi, {}]),
  ),
  ['6.18+hashfix', 'fineibt', { cfiParanoid: true }],
  ['6.18', 'off', {}],
  ['6.18', 'kcfi', {}],
];

const start = (release: string, cfi: CfiMode, features: Partial<Features> = {}) => {
  const guest = session(example('reno'), cfi, cfi === 'off' ? 0 : 0x2468ace1, features, release);
  const map = guest.maps[0]!;
  return { ...guest, map, sock: guest.kernel.heap.alloc(guest.kernel.btf.struct('tcp_sock').size) };
};

describe.each(KERNELS)('Linux %s, cfi %s %o', (release, cfi, features) => {
  const lacks = release === '6.8' ? ['its', 'calldepth'] : [];
  it.each(Object.keys(MITIGATIONS).filter((name) => !lacks.includes(name)))('%s: members run', (name) => {
    const { kernel, map, sock } = start(release, cfi, { ...features, ...MITIGATIONS[name] });
    expect(kernel.callMember(map.kdata, map.type, 'undo_cwnd', [{ ptr: sock }])).toEqual({ lo: 0, hi: 0 });
    expect(kernel.log).toHaveLength(1);
  });

  it('a member of the wrong type traps, unless CFI is off', () => {
    const { kernel, map, sock } = start(release, cfi, features);
    const { trapped, report } = breakMember(kernel, map, 'cong_avoid', 'wrong-type', [{ ptr: sock }, 0, 0]);
    expect(trapped).toBe(cfi !== 'off');
    if (cfi !== 'off') expect(report).toMatchObject({ kind: 'cfi', expected: map.members[1]!.hash });
  });

  it.each(BREAK_WAYS)('%s: the table works afterwards', (way) => {
    const { kernel, map, sock } = start(release, cfi, features);
    breakMember(kernel, map, 'undo_cwnd', way, [{ ptr: sock }]);
    expect(kernel.callMember(map.kdata, map.type, 'undo_cwnd', [{ ptr: sock }]).lo).toBe(0);
  });
});

describe('6.18 as shipped under FineIBT', () => {
  const oopsOf = (release: string) => {
    const { kernel, map, sock } = start(release, 'fineibt');
    try {
      kernel.callMember(map.kdata, map.type, 'ssthresh', [{ ptr: sock }]);
    } catch (error) {
      return { hash: map.members[0]!.hash, oops: error };
    }
    return { hash: map.members[0]!.hash, oops: undefined };
  };

  it('carries half of the hash and traps in the preamble', () => {
    const right = oopsOf('6.18+hashfix');
    expect(right.oops).toBeUndefined();
    const { hash, oops } = oopsOf('6.18');
    expect(hash).toBe(((right.hash >>> 16) | 0x0f2e0000) >>> 0);
    expect(oops).toBeInstanceOf(KernelOops);
    expect((oops as KernelOops).report.lines[0]).toMatch(
      /^CFI failure at bpf__tcp_congestion_ops_ssthresh\+0x13\/0x\w+ \(target: bpf__tcp_congestion_ops_ssthresh\+0x10\/0x\w+; expected type: 0x[0-9a-f]{8}\)$/,
    );
  });
});
