import { LD_IMM64 } from '../../src/bpf/index.ts';
import { assemble } from '../../src/conformance/index.ts';
import type { MapInfo, VerifierInput } from '../../src/verifier/index.ts';
import { btf } from '../support.ts';

type Input = Omit<VerifierInput, 'ops'>;

export const SOCKET_FILTER = 1;
export const SCHED_CLS = 3;
export const CGROUP_SKB = 8;
export const STRUCT_OPS = 27;

/** An array map of one value. */
export const arrayMap = (valueSize = 32, fields: Partial<MapInfo> = {}): MapInfo => ({
  name: 'values',
  type: 2,
  keySize: 4,
  valueSize,
  maxEntries: 1,
  flags: 0,
  btf: null,
  btfKeyTypeId: 0,
  btfValueTypeId: 0,
  record: null,
  inner: null,
  frozen: false,
  ...fields,
});

/** Instructions in the notation of `assemble`, and `map %rN, index` for a map's address; line n is the C line n. */
export function program(text: string, fields: Partial<Input> = {}): Input {
  const lines = text
    .trim()
    .split('\n')
    .map((line) => line.trim());
  const insns = assemble(
    lines.map((line) => line.replace(/\bmap (%r\d+), (\d+)/, 'lddw $1, $2')),
    'test',
  );
  const lineInfo: Input['lineInfo'][number][] = [];
  let slot = 0;
  for (const [i, line] of lines.entries()) {
    if (/^\w+:$/.test(line)) continue;
    lineInfo.push({
      offset: 8 * slot,
      file: '/src/test.c',
      text: `  c_line_${i + 1}();`,
      line: i + 1,
      column: 3,
      raw: [0, 0, 0],
    });
    if (/\bmap /.test(line)) insns[slot]!.src = 1;
    slot += insns[slot]!.code === LD_IMM64 ? 2 : 1;
  }
  return {
    name: 'test',
    insns,
    progType: SCHED_CLS,
    expectedAttachType: 0,
    sleepable: false,
    progFlags: 0,
    license: 'GPL',
    attachBtfId: 0,
    memberIndex: 0,
    btf: null,
    funcInfo: [],
    lineInfo,
    maps: [],
    target: { vmlinux: btf('6.18'), hz: 1000, cpus: 2, jitRequested: true, privateStack: true },
    logLevel: 0,
    ...fields,
  };
}

/** The same as an implementation of a member of tcp_congestion_ops. */
export function congestionOp(member: string, text: string): Input {
  const vmlinux = btf('6.18');
  const memberIndex = vmlinux.struct('tcp_congestion_ops').members.findIndex(({ name }) => name === member);
  return program(text, {
    progType: STRUCT_OPS,
    attachBtfId: vmlinux.find('tcp_congestion_ops', 'struct')!,
    memberIndex,
    expectedAttachType: memberIndex,
  });
}
