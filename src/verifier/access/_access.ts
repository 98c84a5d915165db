import type { Env, RegView } from '../core/types.ts';

/** One access: what `checkMemAccess` (memory.ts) was asked, with the register's own offset added. */
export interface Access {
  env: Env;
  insnIdx: number;
  regno: number;
  reg: RegView;
  off: number;
  size: number;
  access: number;
  valueRegno: number;
  isLdsx: boolean;
}
