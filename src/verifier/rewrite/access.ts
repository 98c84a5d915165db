import { CLASS, type Insn, MODE } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { VerifierError } from '../error.ts';
import type { WorkingProgram } from './program.ts';

const RAW_TRACEPOINT = 17;
const TRACING = 26;
const STRUCT_OPS = 27;
const SYSCALL = 31;
/** Program types whose context is read as it lies in memory: they have no `convert_ctx_access`. */
const PLAIN_CONTEXT: ReadonlySet<number> = new Set([RAW_TRACEPOINT, TRACING, STRUCT_OPS, SYSCALL]);

/** Pointers that a fault may stand behind: loads through them are probed. */
const PROBED: ReadonlySet<number> = new Set([
  T.PTR_TO_BTF_ID,
  T.PTR_TO_BTF_ID | T.PTR_UNTRUSTED,
  T.PTR_TO_BTF_ID | T.MEM_ALLOC | T.PTR_UNTRUSTED,
  T.PTR_TO_MEM | T.MEM_RDONLY | T.PTR_UNTRUSTED,
]);
/** Pointers whose accesses are the program's own as they stand. */
const CONVERTED: ReadonlySet<number> = new Set([
  T.PTR_TO_SOCKET,
  T.PTR_TO_SOCK_COMMON,
  T.PTR_TO_TCP_SOCK,
  T.PTR_TO_XDP_SOCK,
]);

/**
 * Loads through pointers that may fault get the probing form (`convert_ctx_accesses`, 6.18).
 * @throws VerifierError `unsupported` where the kernel would rewrite fields of a context or of a socket
 */
export function convertAccesses(program: WorkingProgram, name: string, progType: number): WorkingProgram {
  const insns = program.insns.map((insn, i): Insn => {
    const kind = insn.code & 7;
    if (kind !== CLASS.LDX && kind !== CLASS.STX && kind !== CLASS.ST) return insn;
    const type = program.aux[i]!.ptrType;
    const refuse = (what: string): never => {
      throw new VerifierError(`${what} is not rewritten yet`, `${name}: insn ${i}`, 'VERIFIER', 'unsupported');
    };
    if (type === T.PTR_TO_CTX && !PLAIN_CONTEXT.has(progType)) return refuse('an access of this context');
    if (CONVERTED.has(type)) return refuse('an access of a socket');
    if (type === T.PTR_TO_ARENA) return refuse('an access of an arena');
    return kind === CLASS.LDX && PROBED.has(type) ? { ...insn, code: probing(insn.code) } : insn;
  });
  return { ...program, insns };
}

/** The probing form of a load. */
function probing(code: number): number {
  return (code & 0x1f) | ((code & 0xe0) === MODE.MEMSX ? MODE.PROBE_MEMSX : MODE.PROBE_MEM);
}
