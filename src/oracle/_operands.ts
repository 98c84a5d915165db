/** `r0 = VARIABLE; r0 = this CPU's r0`: the per-CPU variable of the processor's number (6.15). */
export const CPU_NUMBER = /b7000000([0-9a-f]{8})bf00ffff00000000/;
/** `r0 = VARIABLE; r0 = *(u64 *)(r0 + 0)`: jiffies. */
export const JIFFIES = /18000000([0-9a-f]{8})00000000([0-9a-f]{8})7900000000000000/;
/** `r3 = ADDRESS` before a call: what a timer's callback is told of its program. */
export const PROG_AUX = /18030000([0-9a-f]{8})00000000([0-9a-f]{8})85/;

/** The address that recorded instructions hold where `pattern` shows it, of what symbols do not name. */
export function operand(recorded: readonly string[], pattern: RegExp): bigint | undefined {
  for (const hex of recorded) {
    const match = pattern.exec(hex);
    if (match !== null) return BigInt(`0x${match.slice(1).join('').match(/../g)!.reverse().join('')}`);
  }
  return undefined;
}
