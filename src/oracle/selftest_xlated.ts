import { CALL, disassemble, LD_IMM64, PSEUDO_CALL } from '../bpf/index.ts';
import { type RewriteTarget, rewriteAccepted, type Verdict, type VerifierInput } from '../verifier/index.ts';

/** No text that is compared shows an address: any will do. */
const SOMEWHERE = 0xffffffff81000000n;
const MAP_BYTES = 1n << 34n;
const CPUS = 256;

/**
 * The rewritten instructions of an accepted program as the loader of the selftests prints them: functions one after the
 * other, `N: text` with N counting slots (`get_xlated_program_text`, test_loader.c).
 * @throws VerifierError of kind `unsupported` where a rewrite is not modelled
 */
export function xlatedText(verdict: Verdict, input: Omit<VerifierInput, 'ops'>): string {
  for (const [index, map] of input.maps.entries()) {
    map.address = SOMEWHERE + BigInt(index) * MAP_BYTES;
    map.valueAddress = map.address + MAP_BYTES / 2n;
  }
  const { functions } = rewriteAccepted(verdict, input, targetOf(input));
  const starts: number[] = [];
  let length = 0;
  for (const { insns } of functions) {
    starts.push(length);
    length += insns.length;
  }
  const insns = functions
    .flatMap((part) => part.insns)
    .map((insn, at) =>
      insn.code === CALL && insn.src === PSEUDO_CALL ? { ...insn, imm: starts[insn.off]! - at - 1 } : insn,
    );
  const lines: string[] = [];
  for (let at = 0; at < insns.length; at++) {
    lines.push(`${at}: ${disassemble(insns, at)}\n`);
    if (insns[at]!.code === LD_IMM64) at++;
  }
  return lines.join('');
}

const targetOf = ({ target }: Omit<VerifierInput, 'ops'>): RewriteTarget => ({
  vmlinux: target.vmlinux,
  symbol: () => SOMEWHERE,
  cpuNumber: { offset: SOMEWHERE, wide: true },
  maxCpus: CPUS,
  timedMayGoto: true,
});
