import {
  disassemble,
  helperName,
  type Insn,
  LD_IMM64,
  PSEUDO,
  PSEUDO_CALL,
  PSEUDO_KFUNC_CALL,
} from '../../bpf/index.ts';
import type { LineInfo } from '../../btf/index.ts';
import type { Verdict, VerifierInput } from '../core/types.ts';
import type { Place } from './types.ts';
import { variableAt } from './words.ts';

/** A program as the explanation shows it: instructions with names, functions, lines of C. */
export class ProgramText {
  readonly insns: readonly Insn[];
  readonly #input: Pick<VerifierInput, 'maps' | 'lineInfo' | 'name' | 'target'>;
  readonly #verdict: Verdict;

  constructor(input: Pick<VerifierInput, 'maps' | 'lineInfo' | 'name' | 'target'>, verdict: Verdict) {
    this.insns = verdict.insns;
    this.#input = input;
    this.#verdict = verdict;
  }

  /** What the instruction at `at` calls: its name in C and what it is; undefined if it calls nothing. */
  callee(at: number): { name: string; kind: 'helper' | 'kfunc' | 'function' } | undefined {
    const insn = this.insns[at];
    if (insn?.code !== 0x85) return undefined;
    if (insn.src === PSEUDO_CALL) return { name: this.functionAt(at + 1 + insn.imm), kind: 'function' };
    if (insn.src === PSEUDO_KFUNC_CALL) {
      const { vmlinux } = this.#input.target;
      const known = insn.imm > 0 && insn.imm < vmlinux.typeCount;
      return { name: known ? vmlinux.name(insn.imm) : `kfunc ${insn.imm}`, kind: 'kfunc' };
    }
    const name = helperName(insn.imm);
    return { name: name === 'unknown' ? `helper ${insn.imm}` : name, kind: 'helper' };
  }

  /** Name of the function that slot `at` is in. */
  functionAt(at: number): string {
    const sub = this.#verdict.subprogs.findLast(({ start }) => start <= at);
    if (sub === undefined || sub.start === 0) return this.#input.name;
    return sub.name || `function at ${sub.start}`;
  }

  /** The instruction, without its opcode. */
  insn(at: number): string {
    return disassemble(this.insns, at, {
      call: () => {
        const callee = this.callee(at);
        return callee?.kind === 'function' ? `${callee.name}()` : callee?.name;
      },
      imm64: (insn) => this.#address(insn, at),
    });
  }

  #address(insn: Insn, at: number): string | undefined {
    const aux = this.#verdict.aux[at];
    const map = aux === undefined || aux.mapIndex < 0 ? undefined : this.#input.maps[aux.mapIndex];
    if (map === undefined || insn.code !== LD_IMM64) return undefined;
    if (insn.src === PSEUDO.MAP_FD) return `map ${map.name}`;
    if (insn.src !== PSEUDO.MAP_VALUE) return undefined;
    const { name, offset } = variableAt(map, aux!.mapOff) ?? { name: map.name, offset: aux!.mapOff };
    return `&${name}${offset === 0 ? '' : ` + ${offset}`}`;
  }

  line(at: number): LineInfo | undefined {
    const lines = this.#input.lineInfo;
    let low = 0;
    let high = lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lines[middle]!.offset <= 8 * at) low = middle + 1;
      else high = middle;
    }
    return lines[low - 1];
  }

  place(at: number): Place {
    const line = this.line(at);
    const source = line?.text.replace(/[\s\\]+$/, '').trimStart() ?? '';
    return {
      insn: at,
      text: this.insn(at),
      function: this.functionAt(at),
      file: line?.file ?? '',
      line: line?.line ?? 0,
      column: line?.column ?? 0,
      source,
      mark: Math.max(0, (line?.column ?? 1) - 1 - (line?.text.indexOf(source) ?? 0)),
    };
  }
}
