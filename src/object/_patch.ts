import { CALL, CLASS, type Insn, LD_IMM64, SIZE, SRC_X, sizeInBytes } from '../bpf/index.ts';
import type { CoreResolution } from '../btf/index.ts';
import { ObjectError } from './error.ts';

/** "bad relo": the helper id that libbpf puts where a relocation has no answer; the verifier names it if it is reached. */
export const POISON_CORE = 195896080;

/** Puts what a CO-RE relocation came to into the instruction at `index`, as bpf_core_patch_insn (6.12). */
export function patchCore(insns: Insn[], index: number, resolution: CoreResolution, where: string): void {
  const insn = insns[index]!;
  const fail = (why: string) => new ObjectError(`${resolution.local}: ${why}`, { where, code: 'OBJECT_CORE' });
  const kind = insn.code & 7;
  const poison = () => {
    const slots = insn.code === LD_IMM64 ? 2 : 1;
    for (let i = 0; i < slots; i++) insns[index + i] = { code: CALL, dst: 0, src: 0, off: 0, imm: POISON_CORE };
  };
  if (kind === CLASS.ALU || kind === CLASS.ALU64) {
    if ((insn.code & SRC_X) !== 0) throw fail('relocates an instruction without immediate');
    if (resolution.poison) {
      poison();
      return;
    }
    if (resolution.validate && BigInt(insn.imm) !== resolution.originalValue)
      throw fail(`instruction holds ${insn.imm}, BTF says ${resolution.originalValue}`);
    insn.imm = Number(BigInt.asIntN(32, resolution.value));
  } else if (kind === CLASS.LDX || kind === CLASS.ST || kind === CLASS.STX) {
    if (resolution.poison) {
      poison();
      return;
    }
    if (resolution.validate && BigInt(insn.off) !== resolution.originalValue)
      throw fail(`instruction holds ${insn.off}, BTF says ${resolution.originalValue}`);
    if (resolution.value > 0x7fffn) throw fail(`offset ${resolution.value} does not fit in the instruction`);
    if (resolution.resizeUnsafe) {
      poison();
      return;
    }
    insn.off = Number(resolution.value);
    if (resolution.size === resolution.originalSize) return;
    const code = ({ 8: SIZE.DW, 4: SIZE.W, 2: SIZE.H, 1: SIZE.B } as Record<number, number>)[resolution.size];
    if (sizeInBytes(insn.code) !== resolution.originalSize || code === undefined)
      throw fail(`access of ${sizeInBytes(insn.code)} bytes cannot become one of ${resolution.size}`);
    insn.code = (insn.code & ~0x18) | code;
  } else if (insn.code === LD_IMM64 && insn.src === 0 && insn.off === 0 && insns[index + 1]?.code === 0) {
    if (resolution.poison) {
      poison();
      return;
    }
    const second = insns[index + 1]!;
    const held = (BigInt(second.imm >>> 0) << 32n) | BigInt(insn.imm >>> 0);
    if (resolution.validate && held !== BigInt.asUintN(64, resolution.originalValue))
      throw fail(`instruction holds ${held}, BTF says ${resolution.originalValue}`);
    insn.imm = Number(BigInt.asIntN(32, resolution.value));
    second.imm = Number(BigInt.asIntN(32, resolution.value >> 32n));
  } else throw fail(`opcode 0x${insn.code.toString(16)} cannot be relocated`);
}
