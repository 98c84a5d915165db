import { type Row, row } from './_row.ts';

// The instructions that the kernel's BPF JIT, its trampolines and the text around them are made of. Each row is written as
// in the processor manuals' opcode maps: bytes, then `/r` or `/digit`, `+r` for a register in the opcode; operands by
// their letter (E rm, G reg, M memory, Z opcode register, B VEX.vvvv, I immediate, J displacement) and size (b, w, d, q,
// v by operand size, y 32 or 64, z at most 32). One table is read by the encoder, the decoder, the printer and the machine.

type AluForm = 'EbGb' | 'EvGv' | 'GbEb' | 'GvEv' | 'ALIb' | 'rAXIz' | 'EbIb' | 'EvIz' | 'EvIb';

/** One of the eight classic operations: its six forms in the first quarter of the map and the three of group 1. */
function alu<M extends string>(name: M, n: number): Record<`${M}_${AluForm}`, Row> {
  const at = (offset: number) => (8 * n + offset).toString(16).padStart(2, '0');
  return {
    [`${name}_EbGb`]: row(name, `${at(0)} /r`, 'Eb,Gb'),
    [`${name}_EvGv`]: row(name, `${at(1)} /r`, 'Ev,Gv'),
    [`${name}_GbEb`]: row(name, `${at(2)} /r`, 'Gb,Eb'),
    [`${name}_GvEv`]: row(name, `${at(3)} /r`, 'Gv,Ev'),
    [`${name}_ALIb`]: row(name, at(4), 'AL,Ib'),
    [`${name}_rAXIz`]: row(name, at(5), 'rAX,Iz'),
    [`${name}_EbIb`]: row(name, `80 /${n}`, 'Eb,Ib'),
    [`${name}_EvIz`]: row(name, `81 /${n}`, 'Ev,Iz'),
    [`${name}_EvIb`]: row(name, `83 /${n}`, 'Ev,Ib'),
  } as Record<`${M}_${AluForm}`, Row>;
}

type ShiftForm = 'EbIb' | 'EvIb' | 'Eb1' | 'Ev1' | 'EbCL' | 'EvCL';

/** Shifts and rotates: group 2. */
function shift<M extends string>(name: M, n: number): Record<`${M}_${ShiftForm}`, Row> {
  return {
    [`${name}_EbIb`]: row(name, `c0 /${n}`, 'Eb,Ib'),
    [`${name}_EvIb`]: row(name, `c1 /${n}`, 'Ev,Ib'),
    [`${name}_Eb1`]: row(name, `d0 /${n}`, 'Eb,1'),
    [`${name}_Ev1`]: row(name, `d1 /${n}`, 'Ev,1'),
    [`${name}_EbCL`]: row(name, `d2 /${n}`, 'Eb,CL'),
    [`${name}_EvCL`]: row(name, `d3 /${n}`, 'Ev,CL'),
  } as Record<`${M}_${ShiftForm}`, Row>;
}

/** Operations on one operand: group 3. */
function unary<M extends string>(name: M, n: number): Record<`${M}_Eb` | `${M}_Ev`, Row> {
  return { [`${name}_Eb`]: row(name, `f6 /${n}`, 'Eb'), [`${name}_Ev`]: row(name, `f7 /${n}`, 'Ev') } as Record<
    `${M}_Eb` | `${M}_Ev`,
    Row
  >;
}

/** Condition codes, by their four bits. */
export const CONDITIONS = [
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
] as const;

const conditional = (name: string, base: number, prefix: string, suffix: string, operands: string): Row[] =>
  CONDITIONS.map((condition, cc) => row(name + condition, `${prefix}${(base + cc).toString(16)}${suffix}`, operands));

export const X = {
  ...alu('add', 0),
  ...alu('or', 1),
  ...alu('adc', 2),
  ...alu('sbb', 3),
  ...alu('and', 4),
  ...alu('sub', 5),
  ...alu('xor', 6),
  ...alu('cmp', 7),
  ...shift('rol', 0),
  ...shift('ror', 1),
  ...shift('shl', 4),
  ...shift('shr', 5),
  ...shift('sar', 7),
  ...unary('not', 2),
  ...unary('neg', 3),
  ...unary('mul', 4),
  ...unary('imul', 5),
  ...unary('div', 6),
  ...unary('idiv', 7),
  push_Zq: row('push', '50+r', 'Zq'),
  pop_Zq: row('pop', '58+r', 'Zq'),
  push_Iz: row('push', '68', 'Iz'),
  push_Ib: row('push', '6a', 'Ib'),
  push_Eq: row('push', 'ff /6', 'Eq'),
  pop_Eq: row('pop', '8f /0', 'Eq'),
  movsxd_GvEd: row('movsxd', '63 /r', 'Gv,Ed'),
  imul_GvEvIz: row('imul', '69 /r', 'Gv,Ev,Iz'),
  imul_GvEvIb: row('imul', '6b /r', 'Gv,Ev,Ib'),
  imul_GvEv: row('imul', '0f af /r', 'Gv,Ev'),
  test_EbGb: row('test', '84 /r', 'Eb,Gb'),
  test_EvGv: row('test', '85 /r', 'Ev,Gv'),
  test_ALIb: row('test', 'a8', 'AL,Ib'),
  test_rAXIz: row('test', 'a9', 'rAX,Iz'),
  test_EbIb: row('test', 'f6 /0', 'Eb,Ib'),
  test_EvIz: row('test', 'f7 /0', 'Ev,Iz'),
  xchg_EbGb: row('xchg', '86 /r', 'Eb,Gb'),
  xchg_EvGv: row('xchg', '87 /r', 'Ev,Gv'),
  mov_EbGb: row('mov', '88 /r', 'Eb,Gb'),
  mov_EvGv: row('mov', '89 /r', 'Ev,Gv'),
  mov_GbEb: row('mov', '8a /r', 'Gb,Eb'),
  mov_GvEv: row('mov', '8b /r', 'Gv,Ev'),
  mov_ZbIb: row('mov', 'b0+r', 'Zb,Ib'),
  mov_ZvIv: row('mov', 'b8+r', 'Zv,Iv'),
  mov_EbIb: row('mov', 'c6 /0', 'Eb,Ib'),
  mov_EvIz: row('mov', 'c7 /0', 'Ev,Iz'),
  lea_GvM: row('lea', '8d /r', 'Gv,M'),
  inc_Ev: row('inc', 'ff /0', 'Ev'),
  dec_Ev: row('dec', 'ff /1', 'Ev'),
  cwde: row('cwde', '98', ''),
  cdq: row('cdq', '99', ''),
  nop: row('nop', '90', ''),
  pause: row('pause', 'f3 90', ''),
  nop_Ev: row('nop', '0f 1f /0', 'Ev'),
  ret: row('ret', 'c3', ''),
  ret_Iw: row('ret', 'c2', 'Iw'),
  leave: row('leave', 'c9', ''),
  int3: row('int3', 'cc', ''),
  hlt: row('hlt', 'f4', ''),
  udb: row('udb', 'd6', ''),
  ud2: row('ud2', '0f 0b', ''),
  call_Jz: row('call', 'e8', 'Jz'),
  jmp_Jz: row('jmp', 'e9', 'Jz'),
  jmp_Jb: row('jmp', 'eb', 'Jb'),
  call_Eq: row('call', 'ff /2', 'Eq'),
  jmp_Eq: row('jmp', 'ff /4', 'Eq'),
  jcc_Jb: conditional('j', 0x70, '', '', 'Jb'),
  jcc_Jz: conditional('j', 0x80, '0f ', '', 'Jz'),
  cmovcc_GvEv: conditional('cmov', 0x40, '0f ', ' /r', 'Gv,Ev'),
  setcc_Eb: conditional('set', 0x90, '0f ', ' /0', 'Eb'),
  endbr64: row('endbr64', 'f3 0f 1e fa', ''),
  /** Indirect branch history fence: a reserved nop with REX.W. */
  ibhf: row('ibhf', 'f3 0f 1e f8', ''),
  vmcall: row('vmcall', '0f 01 c1', ''),
  lfence: row('lfence', '0f ae e8', ''),
  movzx_GvEb: row('movzx', '0f b6 /r', 'Gv,Eb'),
  movzx_GvEw: row('movzx', '0f b7 /r', 'Gv,Ew'),
  movsx_GvEb: row('movsx', '0f be /r', 'Gv,Eb'),
  movsx_GvEw: row('movsx', '0f bf /r', 'Gv,Ew'),
  cmpxchg_EbGb: row('cmpxchg', '0f b0 /r', 'Eb,Gb'),
  cmpxchg_EvGv: row('cmpxchg', '0f b1 /r', 'Ev,Gv'),
  xadd_EbGb: row('xadd', '0f c0 /r', 'Eb,Gb'),
  xadd_EvGv: row('xadd', '0f c1 /r', 'Ev,Gv'),
  bswap_Zy: row('bswap', '0f c8+r', 'Zy'),
  shlx_GyEyBy: row('shlx', 'vex.66.0f38 f7 /r', 'Gy,Ey,By'),
  sarx_GyEyBy: row('sarx', 'vex.f3.0f38 f7 /r', 'Gy,Ey,By'),
  shrx_GyEyBy: row('shrx', 'vex.f2.0f38 f7 /r', 'Gy,Ey,By'),
};

/** Every row, in no particular order. */
export const ROWS: readonly Row[] = Object.values(X).flat();
