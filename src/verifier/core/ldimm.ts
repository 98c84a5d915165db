import { type Insn, LD_IMM64 } from '../../bpf/index.ts';
import { MAP_ARENA, MAP_ARRAY } from '../tables/maps.table.ts';
import { findSubprog } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import * as T from './reg_types.table.ts';
import { checkRegArg, markRegKnown, markRegKnownZero, markRegUnknown } from './regs.ts';
import { type MapInfo, reject } from './types.ts';

const PAGE_SIZE = 4096;
const ATOMIC_SIZES = new Set([0xc3, 0xcb, 0xd3, 0xdb]);

/** Whether opcode `code` exists (`bpf_opcode_in_insntable`). */
function knownOpcode(code: number): boolean {
  const size = code & 0x18;
  const mode = code & 0xe0;
  const op = code & 0xf0;
  switch (code & 7) {
    case 0:
      return code === LD_IMM64 || ((mode === 0x20 || mode === 0x40) && size !== 0x18);
    case 1:
      return mode === 0x60 || (mode === 0x80 && size !== 0x18);
    case 2:
      return mode === 0x60;
    case 3:
      return mode === 0x60 || ATOMIC_SIZES.has(code);
    case 4:
      return op <= 0xd0 && code !== 0x8c;
    case 7:
      return op <= 0xd0 && code !== 0x8f && code !== 0xdf;
    case 5:
      return (op <= 0xe0 && !(code & 8)) || (op >= 0x10 && op <= 0xd0 && op !== 0x80 && op !== 0x90);
    default:
      return op <= 0xd0 && op !== 0x80 && op !== 0x90 && !(op === 0 && code & 8);
  }
}

/** Reserved fields, maps and variables that 64-bit loads name (`resolve_pseudo_ldimm64`). */
export function resolvePseudoLdImm64(env: VerifierEnv): void {
  const { insns } = env;
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    if ((insn.code & 7) === 1 && (((insn.code & 0xe0) !== 0x60 && (insn.code & 0xe0) !== 0x80) || insn.imm !== 0))
      reject(env, 'EINVAL', 'BPF_LDX uses reserved fields');
    if (insn.code !== LD_IMM64) {
      if (!knownOpcode(insn.code)) reject(env, 'EINVAL', `unknown opcode ${insn.code.toString(16).padStart(2, '0')}`);
      continue;
    }
    const second = insns[i + 1];
    if (second?.code !== 0 || second.dst !== 0 || second.src !== 0 || second.off !== 0)
      reject(env, 'EINVAL', 'invalid bpf_ld_imm64 insn');
    if (insn.off !== 0) reject(env, 'EINVAL', 'BPF_LD_IMM64 uses reserved fields');
    if (insn.src === 3) env.ops.checkPseudoBtfId(env, insn, i);
    else if (insn.src === 4) {
      /* resolved already by addSubprogs */
    } else if (insn.src !== 0) {
      if (insn.src > 6 || (insn.src === 1 && second.imm !== 0)) reject(env, 'EINVAL', 'unrecognized bpf_ld_imm64 insn');
      const map = env.input.looseMaps?.has(i) ? undefined : env.input.maps[insn.imm];
      if (!map) reject(env, 'EBADF', `fd ${insn.imm} is not pointing to valid bpf_map`);
      env.aux[i]!.mapIndex = insn.imm;
      env.ops.checkMapProgCompatibility(env, insn.imm);
      if (insn.src === 2) {
        checkDirectValue(env, map, second.imm >>> 0);
        env.aux[i]!.mapOff = second.imm;
      }
    }
    i++;
  }
}

/** A place in a map's only value, or in an arena (`map_direct_value_addr` of a map's operations). */
function checkDirectValue(env: VerifierEnv, { type, valueSize, maxEntries }: MapInfo, off: number): void {
  if (type !== MAP_ARRAY && type !== MAP_ARENA)
    reject(env, 'EINVAL', 'no direct value access support for this map type');
  let errno = '';
  if (type === MAP_ARENA) errno = off > maxEntries * PAGE_SIZE ? 'ERANGE' : '';
  else if (maxEntries !== 1) errno = 'ENOTSUPP';
  else if (off >= valueSize) errno = 'EINVAL';
  if (errno) reject(env, errno, `invalid access to map value pointer, value_size=${valueSize} off=${off}`);
}

/** `check_ld_imm`: what the destination of a 64-bit load holds. */
export function checkLdImm(env: VerifierEnv, insn: Insn): void {
  if ((insn.code & 0x18) !== 0x18) reject(env, 'EINVAL', 'invalid BPF_LD_IMM insn');
  const at = env.insnIdx;
  const aux = env.aux[at]!;
  checkRegArg(env, insn.dst, 'dst');
  const dst = env.reg(insn.dst);
  if (insn.src === 0) {
    dst.type = T.SCALAR_VALUE;
    markRegKnown(dst, insn.imm, env.insns[at + 1]!.imm);
    return;
  }
  markRegKnownZero(dst);
  if (insn.src === 3) {
    dst.type = aux.btfVarType;
    if (T.isBase(dst.type, T.PTR_TO_MEM)) dst.memSize = aux.btfVarMemSize;
    else {
      dst.btf = aux.btfVarBtf;
      dst.btfId = aux.btfVarBtfId;
    }
    return;
  }
  if (insn.src === 4) {
    const subprog = findSubprog(env, at + insn.imm + 1);
    if (env.subprogs[subprog]!.global) reject(env, 'EINVAL', `callback function not static`);
    dst.type = T.PTR_TO_FUNC;
    dst.subprogno = subprog;
    return;
  }
  const map = env.input.maps[aux.mapIndex]!;
  dst.map = map;
  if (insn.src === 2 || insn.src === 6) {
    if (map.type === MAP_ARENA) {
      markRegUnknown(env, dst);
      return;
    }
    dst.type = T.PTR_TO_MAP_VALUE;
    dst.off = aux.mapOff;
  } else dst.type = T.CONST_PTR_TO_MAP;
}
