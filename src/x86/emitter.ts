import type { Row } from './_row.ts';
import { X } from './x86.table.ts';

/** The kernel's nops of 1 to 11 bytes (arch/x86/include/asm/nops.h, 6.12). */
const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/** Least width of a displacement: none if it is zero, one byte, or always four. */
export type DispWidth = 0 | 1 | 4;

/**
 * Appends machine code to a growing buffer. The caller chooses the form (row); prefixes, REX, ModRM and SIB follow from it:
 *
 *     66? f3? │ REX 0100WRXB │ 0f? opcode │ ModRM mod:2 reg:3 rm:3 │ SIB scale:2 index:3 base:3 │ disp 0/1/4 │ imm
 *
 * `size` is the operand size in bytes: 1, 2, 4 or 8 (8 sets REX.W). Registers are 0 … 15.
 */
export class Emitter {
  bytes: Uint8Array = new Uint8Array(256);
  length = 0;

  /** Drops what was written; the buffer is kept. */
  clear(): void {
    this.length = 0;
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  u8(byte: number): void {
    if (this.length === this.bytes.length) this.#grow();
    this.bytes[this.length++] = byte;
  }

  u32(value: number): void {
    if (this.length + 4 > this.bytes.length) this.#grow();
    const { bytes, length } = this;
    bytes[length] = value;
    bytes[length + 1] = value >>> 8;
    bytes[length + 2] = value >>> 16;
    bytes[length + 3] = value >>> 24;
    this.length = length + 4;
  }

  #grow(): void {
    const grown = new Uint8Array(2 * this.bytes.length);
    grown.set(this.bytes);
    this.bytes = grown;
  }

  raw(...bytes: number[]): void {
    for (const byte of bytes) this.u8(byte);
  }

  append(bytes: Uint8Array): void {
    for (const byte of bytes) this.u8(byte);
  }

  nops(count: number): void {
    for (let left = count; left > 0; left -= 11) this.raw(...NOPS[Math.min(left, 11)]!);
  }

  /** An instruction without explicit operands; size 8 adds REX.W (`cqo`). */
  op(row: Row, size = 4): void {
    if (row.prefix !== 0) this.u8(row.prefix);
    if (size === 8) this.u8(0x48);
    this.#opcode(row, 0);
    if (row.fixedModrm >= 0) this.u8(row.fixedModrm);
  }

  /** Register in the opcode: `push`, `pop`, `bswap`, `mov r, imm`. Size 8 adds REX.W except where 64 bits are the default. */
  plus(row: Row, size: number, register: number): void {
    const wide = size === 8 && !row.quad;
    const rex = 0x40 | (wide ? 8 : 0) | (register >> 3);
    if (rex !== 0x40) this.u8(rex);
    this.#opcode(row, register & 7);
  }

  /** Register operands: `rm`, and `reg` if the row has no digit. `forceRex` writes a REX prefix even if it says nothing. */
  reg(row: Row, size: number, rm: number, reg = 0, forceRex = false): void {
    const field = row.digit >= 0 ? row.digit : reg;
    const byteRex = this.#byteRegister(row, rm, 'E') || (row.digit < 0 && this.#byteRegister(row, reg, 'G'));
    this.#head(row, size, ((field >> 3) << 2) | (rm >> 3), forceRex || byteRex);
    this.u8(0xc0 | ((field & 7) << 3) | (rm & 7));
  }

  regImm8(row: Row, size: number, rm: number, imm: number, reg = 0): void {
    this.reg(row, size, rm, reg);
    this.u8(imm & 0xff);
  }

  regImm32(row: Row, size: number, rm: number, imm: number, reg = 0): void {
    this.reg(row, size, rm, reg);
    this.u32(imm);
  }

  /** Memory operand `[base + disp]`. */
  mem(row: Row, size: number, base: number, disp: number, reg = 0, width: DispWidth = 0): void {
    const field = row.digit >= 0 ? row.digit : reg;
    this.#head(row, size, ((field >> 3) << 2) | (base >> 3), row.digit < 0 && this.#byteRegister(row, reg, 'G'));
    const mod = this.#mod(base, disp, width);
    this.u8((mod << 6) | ((field & 7) << 3) | (base & 7));
    if ((base & 7) === 4) this.u8(0x24);
    this.#disp(mod, disp);
  }

  /** Memory operand `[base + index · scale + disp]`; `scale` is 1, 2, 4 or 8. */
  memIndex(
    row: Row,
    size: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    reg = 0,
    width: DispWidth = 0,
    forceRex = false,
  ): void {
    const field = row.digit >= 0 ? row.digit : reg;
    this.#head(
      row,
      size,
      ((field >> 3) << 2) | ((index >> 3) << 1) | (base >> 3),
      forceRex || (row.digit < 0 && this.#byteRegister(row, reg, 'G')),
    );
    const mod = this.#mod(base, disp, width);
    this.u8((mod << 6) | ((field & 7) << 3) | 4);
    this.u8(((31 - Math.clz32(scale)) << 6) | ((index & 7) << 3) | (base & 7));
    this.#disp(mod, disp);
  }

  /** Memory operand at an absolute 32-bit address, `[disp32]`; a segment prefix goes before by `u8`. */
  memAbsolute(row: Row, size: number, disp: number, reg = 0): void {
    const field = row.digit >= 0 ? row.digit : reg;
    this.#head(row, size, (field >> 3) << 2, false);
    this.raw(((field & 7) << 3) | 4, 0x25);
    this.u32(disp);
  }

  /** `mov r64, imm64`. */
  movImm64(register: number, lo: number, hi: number): void {
    this.plus(X.mov_ZvIv, 8, register);
    this.u32(lo);
    this.u32(hi);
  }

  /** A jump or call with an 8-bit displacement. */
  rel8(row: Row, displacement: number): void {
    this.#opcode(row, 0);
    this.u8(displacement & 0xff);
  }

  /** A jump or call with a 32-bit displacement. */
  rel32(row: Row, displacement: number): void {
    this.#opcode(row, 0);
    this.u32(displacement);
  }

  /**
   * A three-operand VEX instruction (BMI2 shifts): c4 │ ~R~X~B m-mmmm │ W ~vvvv L pp │ opcode │ ModRM.
   */
  vex(row: Row, size: number, reg: number, rm: number, vvvv: number): void {
    const pp = row.prefix === 0x66 ? 1 : row.prefix === 0xf3 ? 2 : 3;
    this.raw(
      0xc4,
      (reg < 8 ? 0x80 : 0) | 0x40 | (rm < 8 ? 0x20 : 0) | 2,
      (size === 8 ? 0x80 : 0) | ((~vvvv & 15) << 3) | pp,
    );
    this.raw(row.opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
  }

  #head(row: Row, size: number, rxb: number, forceRex: boolean): void {
    if (size === 2) this.u8(0x66);
    if (row.prefix !== 0) this.u8(row.prefix);
    const wide = size === 8 && !row.quad;
    const rex = 0x40 | (wide ? 8 : 0) | rxb;
    if (rex !== 0x40 || forceRex) this.u8(rex);
    this.#opcode(row, 0);
  }

  #opcode(row: Row, low: number): void {
    if (row.map === 1) this.u8(0x0f);
    this.u8(row.opcode + low);
  }

  /** spl, bpl, sil, dil exist only with a REX prefix. */
  #byteRegister(row: Row, register: number, place: 'E' | 'G'): boolean {
    return register >= 4 && register < 8 && (place === 'E' ? row.byteRm : row.byteReg);
  }

  #mod(base: number, disp: number, width: DispWidth): number {
    if (width === 0 && disp === 0 && (base & 7) !== 5) return 0;
    return width < 4 && disp >= -128 && disp <= 127 ? 1 : 2;
  }

  #disp(mod: number, disp: number): void {
    if (mod === 1) this.u8(disp & 0xff);
    else if (mod === 2) this.u32(disp);
  }
}
