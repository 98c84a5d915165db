import { type Emitter, REG, X } from '../x86/index.ts';

/** The six bytes of a bare indirect call, as patch_retpoline leaves them without retpolines: `call r11 ; nop3`. */
export function emitCall6(e: Emitter): void {
  e.reg(X.call_Eq, 8, REG.r11);
  e.nops(3);
}
