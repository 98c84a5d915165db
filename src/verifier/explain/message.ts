import { BPF_COMPLEXITY_LIMIT_INSNS } from '../core/reg_types.table.ts';
import type { Verdict } from '../core/types.ts';

/** Lines that tell how the program was walked, not why it was refused. */
const WALK =
  /^(func#\d+ @|Live regs before|\s+\d+: [.\d]{10} |; |mark_precise:|from \d+ to \d+|\d+: safe|propagat|frame ?\d+: (?:propagating|R\d+=|fp)|(?:cur|old) state:|caller:|callee:|returning from callee|to caller at|Validating |Func#\d+ |(?:\d+:)? ?R\d+=|\(\d+.*\) (?:live|written)|SCC |processed \d+|verification time|stack depth \d)/;
const INSN = /^\d+: \([0-9a-f]{2}\)/;

/** Why the verifier refused, in its words: what its log says behind the last instruction. */
export function lastWords({ log, stats, errno }: Verdict): string {
  if (log === '') {
    if (errno === 'E2BIG' && stats.insnProcessed > BPF_COMPLEXITY_LIMIT_INSNS)
      return `BPF program is too large. Processed ${stats.insnProcessed} insn`;
    return '';
  }
  const lines = log.split('\n');
  const words: string[] = [];
  for (let i = lines.length - 1; i >= 0 && !INSN.test(lines[i]!); i--)
    if (lines[i] !== '' && !WALK.test(lines[i]!)) words.unshift(lines[i]!);
  return words.join('\n');
}
