import type { Row } from './_row.ts';
import { ROWS, X } from './x86.table.ts';

/** A decoded instruction: the form, and the fields of its encoding. */
export interface X86Insn {
  row: Row;
  length: number;
  /** Operand size in bytes. */
  size: 1 | 2 | 4 | 8;
  lock: boolean;
  /** Segment override that counts in 64-bit mode: 0, 0x64 (fs) or 0x65 (gs). */
  segment: number;
  /** Redundant prefixes that carry no meaning here (`cs call`), for printing. */
  cs: boolean;
  rex: boolean;
  /** ModRM.reg with REX.R, and VEX.vvvv. */
  reg: number;
  vvvv: number;
  /** Register operand in ModRM.rm or the opcode; −1 if the operand is memory or there is none. */
  rm: number;
  /** Memory operand: base and index registers (−1 without), scale 1 … 8, displacement. */
  memory: boolean;
  base: number;
  index: number;
  scale: number;
  disp: number;
  /** The displacement counts from the end of the instruction. */
  ripRelative: boolean;
  /** Immediate or branch displacement, sign-extended to 32 bits; `immHigh` for 64-bit immediates. */
  imm: number;
  immHigh: number;
}

/** An undecodable place: the bytes are no instruction that this table knows. */
export interface Undecodable {
  row: undefined;
  length: number;
}

const LIMIT = 15;
/** What may carry a LOCK prefix, with a destination in memory; anywhere else it is #UD. */
const LOCKABLE = new Set([
  'add',
  'adc',
  'and',
  'cmpxchg',
  'dec',
  'inc',
  'neg',
  'not',
  'or',
  'sbb',
  'sub',
  'xadd',
  'xchg',
  'xor',
]);
/** Forms by map and opcode; those that share one are told apart by prefix, digit or ModRM. */
const groups = new Map<number, Row[]>();

for (const row of ROWS) {
  for (let i = 0; i < (row.plusRegister ? 8 : 1); i++) {
    const key = (row.map << 8) | (row.opcode + i);
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [row]);
    else list.push(row);
  }
}

function choose(map: number, opcode: number, prefix: number, modrm: number): Row | undefined {
  const list = groups.get((map << 8) | opcode);
  if (list === undefined) return undefined;
  let best: Row | undefined;
  for (const row of list) {
    if (row.digit >= 0 && row.digit !== ((modrm >> 3) & 7)) continue;
    if (row.fixedModrm >= 0 && row.fixedModrm !== modrm) continue;
    if (row.prefix !== 0 && row.prefix !== prefix) continue;
    if (best === undefined || row.prefix !== 0 || row.fixedModrm >= 0) best = row;
  }
  return best;
}

/**
 * Decodes the instruction at `offset`. Bytes outside of the table, or cut off by the end of `bytes`, give no row and the
 * length that was looked at; nothing is thrown.
 */
export function decode(bytes: Uint8Array, offset: number): X86Insn | Undecodable {
  const end = Math.min(bytes.length, offset + LIMIT);
  let at = offset;
  let operand16 = false;
  let mandatory = 0;
  let lock = false;
  let segment = 0;
  let cs = false;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0x66) operand16 = true;
    else if (byte === 0xf2 || byte === 0xf3) mandatory = byte;
    else if (byte === 0xf0) lock = true;
    else if (byte === 0x64 || byte === 0x65) segment = byte;
    else if (byte === 0x2e || byte === 0x3e || byte === 0x26 || byte === 0x36) cs ||= byte === 0x2e;
    else break;
  }
  const bad = (): Undecodable => ({ row: undefined, length: Math.max(1, Math.min(at, bytes.length) - offset) });
  if (at >= end) return bad();
  let rex = 0;
  if ((bytes[at]! & 0xf0) === 0x40) rex = bytes[at++]!;
  if (at >= end) return bad();
  let map = 0;
  let vvvv = 0;
  let wide = (rex & 8) !== 0;
  let opcode = bytes[at++]!;
  if (opcode === 0x0f) {
    if (at >= end) return bad();
    map = 1;
    opcode = bytes[at++]!;
  } else if (opcode === 0xc4 && rex === 0) {
    if (at + 3 > end) return bad();
    const b1 = bytes[at]!;
    const b2 = bytes[at + 1]!;
    if ((b1 & 31) !== 2 || (b2 & 4) !== 0) return bad();
    // ~R ~X ~B sit in bits 7, 6, 5: reorder to REX's R X B in bits 2, 1, 0.
    rex = 0x40 | ((b1 & 0x80) === 0 ? 4 : 0) | ((b1 & 0x40) === 0 ? 2 : 0) | ((b1 & 0x20) === 0 ? 1 : 0);
    wide = (b2 & 0x80) !== 0;
    vvvv = (~b2 >> 3) & 15;
    mandatory = [0, 0x66, 0xf3, 0xf2][b2 & 3]!;
    map = 2;
    opcode = bytes[at + 2]!;
    at += 3;
  }
  const modrm = at < end ? bytes[at]! : -1;
  const row = choose(map, opcode, mandatory, modrm);
  if (row === undefined || (row.modrm && modrm < 0)) return bad();
  const default64 = row.operands[0]?.size === 'q';
  const size = row.byte ? 1 : wide || default64 ? 8 : operand16 ? 2 : 4;
  // xchg with r8 shares nop's opcode, cbw and cwd those of cwde and cdq, and a prefix
  // makes something else of lfence and vmcall: no rows of ours.
  if (
    (row === X.nop && (rex & 1) !== 0) ||
    (size === 2 && (row === X.cwde || row === X.cdq)) ||
    (row.fixedModrm >= 0 && row.prefix === 0 && (operand16 || mandatory !== 0))
  )
    return bad();
  const insn: X86Insn = {
    row,
    length: 0,
    size,
    lock,
    segment,
    cs,
    rex: rex !== 0,
    reg: 0,
    vvvv,
    rm: -1,
    memory: false,
    base: -1,
    index: -1,
    scale: 1,
    disp: 0,
    ripRelative: false,
    imm: 0,
    immHigh: 0,
  };
  if (row.plusRegister) insn.rm = (opcode & 7) | ((rex & 1) << 3);
  if (row.modrm) {
    at++;
    insn.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
    if (row.fixedModrm < 0) {
      const next = readModrm(insn, bytes, at, end, modrm, rex);
      if (next < 0) return bad();
      at = next;
      if (!insn.memory && row.operands.some(({ place }) => place === 'M')) return bad();
    }
  }
  const immediate =
    row.immediate === 'z'
      ? size === 2 && row.operands.at(-1)!.place !== 'J'
        ? 2
        : 4
      : row.immediate === 'v'
        ? size
        : row.immediate;
  if (at + immediate > end) return bad();
  if (lock && !(LOCKABLE.has(row.mnemonic) && insn.memory && row.operands[0]?.place === 'E')) return bad();
  insn.imm = readSigned(bytes, at, Math.min(immediate, 4));
  if (immediate === 8) insn.immHigh = readSigned(bytes, at + 4, 4);
  insn.length = at + immediate - offset;
  return insn;
}

function readModrm(insn: X86Insn, bytes: Uint8Array, start: number, end: number, modrm: number, rex: number): number {
  const mod = modrm >> 6;
  const low = modrm & 7;
  let at = start;
  if (mod === 3) {
    insn.rm = low | ((rex & 1) << 3);
    return at;
  }
  insn.memory = true;
  let width = mod === 1 ? 1 : mod === 2 ? 4 : 0;
  if (low === 4) {
    if (at >= end) return -1;
    const sib = bytes[at++]!;
    const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (index !== 4) insn.index = index;
    insn.scale = 1 << (sib >> 6);
    if ((sib & 7) === 5 && mod === 0) width = 4;
    else insn.base = (sib & 7) | ((rex & 1) << 3);
  } else if (low === 5 && mod === 0) {
    insn.ripRelative = true;
    width = 4;
  } else insn.base = low | ((rex & 1) << 3);
  if (at + width > end) return -1;
  insn.disp = readSigned(bytes, at, width);
  return at + width;
}

function readSigned(bytes: Uint8Array, at: number, width: number): number {
  switch (width) {
    case 0:
      return 0;
    case 1:
      return (bytes[at]! << 24) >> 24;
    case 2:
      return ((bytes[at]! | (bytes[at + 1]! << 8)) << 16) >> 16;
    default:
      return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
}
