import { InsnAux, SubprogInfo } from '../core/types.ts';
import { exit, mov } from './build.ts';
import type { WorkingProgram } from './program.ts';

/**
 * A program that throws and has no exception callback gets one that returns what was thrown, as a hidden last function
 * (`add_hidden_subprog`, 6.18).
 */
export function addExceptionCallback(program: WorkingProgram): WorkingProgram {
  const { insns, aux, origin, starts, subprogs, depths } = program;
  const own = [mov(0, 1), exit()];
  const last = origin.at(-1)!;
  return {
    insns: [...insns, ...own],
    aux: [...aux, ...own.map(() => Object.assign(new InsnAux(), { seen: 1 }))],
    origin: [...origin, ...own.map(() => last)],
    starts: [...starts, insns.length + own.length],
    subprogs: [...subprogs, Object.assign(new SubprogInfo(), { start: insns.length, isExceptionCb: true })],
    depths: [...depths, 0],
  };
}

/** Whether the program has the function only because of {@link addExceptionCallback}: no BTF names it. */
export const isHidden = ({ isExceptionCb, name }: SubprogInfo): boolean => isExceptionCb && name === '';
