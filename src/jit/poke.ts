import { Emitter, X } from '../x86/index.ts';
import { skippedByTailCall } from './_frame.ts';
import type { JitContext, JitImage, Poke } from './types.ts';

/** Bytes of a site that text pokes change. */
export const POKE_SIZE = 5;

/** What five bytes at a text address do: branch to `target` (low 32 bits), or nothing where that is 0. */
export interface PokeSite {
  kind: 'call' | 'jump';
  target: number;
}

/** The bytes of a site at `ip` (bpf_arch_text_poke of arch/x86/net/bpf_jit_comp.c, 6.12). */
export function pokeBytes({ kind, target }: PokeSite, ip: number): Uint8Array {
  const e = new Emitter();
  if (target === 0) e.nops(POKE_SIZE);
  else e.rel32(kind === 'call' ? X.call_Jz : X.jmp_Jz, (target - (ip + POKE_SIZE)) | 0);
  return e.take();
}

/** One change of text: what has to stand at `ip`, and what shall. */
export interface TextChange {
  ip: number;
  from: PokeSite;
  to: PokeSite;
}

/**
 * The changes that lead a direct tail call from the program `before` to `after` in its slot, in the kernel's order: the jump
 * is right before the bypass goes, and the bypass is back before the jump goes (bpf_arch_poke_desc_update).
 * Programs are `bpf_func` addresses, 0 for an empty slot.
 */
export function tailCallChanges(
  image: Pick<JitImage, 'address'>,
  { target, bypass }: Poke,
  ctx: JitContext,
  before: number,
  after: number,
): TextChange[] {
  const jump = (to: number): PokeSite => ({ kind: 'jump', target: to });
  const callee = (func: number) => jump(func === 0 ? 0 : func + skippedByTailCall(ctx));
  const past = (image.address + target + POKE_SIZE) >>> 0;
  const slot: TextChange = { ip: (image.address + target) >>> 0, from: callee(before), to: callee(after) };
  const around = (from: number, to: number): TextChange => ({
    ip: (image.address + bypass) >>> 0,
    from: jump(from),
    to: jump(to),
  });
  if (after === 0) return before === 0 ? [] : [around(0, past), slot];
  return before === 0 ? [slot, around(past, 0)] : [slot];
}
