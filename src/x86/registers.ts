/** General registers by their number in the encoding. */
export const REG = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;

const OLD = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];

/** Name of a register at an operand size in bytes; `rex` selects `spl` over `ah`. */
export function registerName(register: number, size: number, rex = true): string {
  if (register >= 8) return `r${register}${size === 8 ? '' : size === 4 ? 'd' : size === 2 ? 'w' : 'b'}`;
  const old = OLD[register]!;
  if (size === 8) return `r${old}`;
  if (size === 4) return `e${old}`;
  if (size === 2) return old;
  if (register < 4) return `${old[0]}l`;
  return rex ? `${old}l` : `${OLD[register - 4]![0]}h`;
}
