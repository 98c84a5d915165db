import type { Operand } from './_row.ts';
import { decode, type X86Insn } from './decoder.ts';
import { registerName } from './registers.ts';

/** Name of an address, if there is one: `tcp_reno_ssthresh`, `bpf_prog_…+0x10`. */
export type Symbolize = (address: bigint) => string | undefined;

const hex = (value: number) => (value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);
const WORDS: Record<number, string> = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' };

/** One instruction in Intel syntax, lower case: `mov [rbp-0x8], rax`, `call tcp_reno_ssthresh`. `address` is its own. */
export function formatX86(insn: X86Insn, address: bigint, symbolize: Symbolize = () => undefined): string {
  const { row } = insn;
  let mnemonic = row.mnemonic;
  if (insn.size === 8 && mnemonic === 'cdq') mnemonic = 'cqo';
  if (insn.size === 8 && mnemonic === 'cwde') mnemonic = 'cdqe';
  const known = row.operands.some(
    ({ place }) => place === 'G' || place === 'B' || place === 'Z' || place === 'AL' || place === 'rAX',
  );
  const operands = row.operands.map((operand) => operandText(insn, operand, address, known, symbolize));
  const prefix =
    (insn.lock ? 'lock ' : '') + (insn.cs && row.immediate !== 0 && row.operands[0]?.place === 'J' ? 'cs ' : '');
  return `${prefix}${mnemonic}${operands.length === 0 ? '' : ` ${operands.join(', ')}`}`;
}

function sizeOf(insn: X86Insn, size: string): number {
  switch (size) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    default:
      return insn.size;
  }
}

function operandText(
  insn: X86Insn,
  operand: Operand,
  address: bigint,
  sizeKnown: boolean,
  symbolize: Symbolize,
): string {
  const size = sizeOf(insn, operand.size);
  switch (operand.place) {
    case 'E':
    case 'M':
      if (!insn.memory) return registerName(insn.rm, size, insn.rex);
      return `${operand.place === 'M' || (sizeKnown && size === insn.size) ? '' : `${WORDS[size]} `}${memoryText(insn, address, symbolize)}`;
    case 'G':
      return registerName(insn.reg, size, insn.rex);
    case 'Z':
      return registerName(insn.rm, size, insn.rex);
    case 'B':
      return registerName(insn.vvvv, size);
    case 'AL':
      return 'al';
    case 'rAX':
      return registerName(0, insn.size);
    case 'CL':
      return 'cl';
    case '1':
      return '1';
    case 'I':
      return immediateText(insn, operand.size, symbolize);
    case 'J': {
      const target = BigInt.asUintN(64, address + BigInt(insn.length + insn.imm));
      return symbolize(target) ?? `0x${target.toString(16)}`;
    }
  }
}

function immediateText(insn: X86Insn, size: string, symbolize: Symbolize): string {
  if (size === 'v' && insn.size === 8) {
    const value = (BigInt(insn.immHigh >>> 0) << 32n) | BigInt(insn.imm >>> 0);
    return symbolize(value) ?? `0x${value.toString(16)}`;
  }
  if (size === 'v') return hex(insn.imm >>> 0);
  return insn.size === 4 && size === 'z' ? hex(insn.imm >>> 0) : hex(insn.imm);
}

function memoryText(insn: X86Insn, address: bigint, symbolize: Symbolize): string {
  const segment = insn.segment === 0x65 ? 'gs:' : insn.segment === 0x64 ? 'fs:' : '';
  if (insn.ripRelative) {
    const target = BigInt.asUintN(64, address + BigInt(insn.length + insn.disp));
    return `${segment}[rip${insn.disp < 0 ? '' : '+'}${hex(insn.disp)}]${insn.segment === 0 && symbolize(target) !== undefined ? ` <${symbolize(target)}>` : ''}`;
  }
  const parts: string[] = [];
  if (insn.base >= 0) parts.push(registerName(insn.base, 8));
  if (insn.index >= 0) parts.push(`${registerName(insn.index, 8)}${insn.scale === 1 ? '' : `*${insn.scale}`}`);
  let text = parts.join('+');
  if (text === '') text = hex(insn.disp >>> 0);
  else if (insn.disp !== 0) text += `${insn.disp < 0 ? '' : '+'}${hex(insn.disp)}`;
  return `${segment}[${text}]`;
}

/** One line of a listing. */
export interface ListingLine {
  offset: number;
  bytes: Uint8Array;
  text: string;
}

/** All instructions of `bytes`, which lie at `address`; a byte that starts no instruction is printed as `(bad)`. */
export function listX86(bytes: Uint8Array, address: bigint, symbolize?: Symbolize): ListingLine[] {
  const lines: ListingLine[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const insn = decode(bytes, offset);
    const length = insn.row === undefined ? 1 : insn.length;
    const text = insn.row === undefined ? '(bad)' : formatX86(insn, address + BigInt(offset), symbolize);
    lines.push({ offset, bytes: bytes.subarray(offset, offset + length), text });
    offset += length;
  }
  return lines;
}
