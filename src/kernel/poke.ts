import { POKE_SIZE, type PokeSite, pokeBytes } from '../jit/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { KernelError } from './error.ts';
import type { Kernel } from './kernel.ts';

/**
 * Changes five bytes of text, if they are what they should be: bpf_arch_text_poke (arch/x86/net/bpf_jit_comp.c, 6.12).
 * @throws KernelError EBUSY if something else stands there
 */
export function textPoke(kernel: Kernel, ip: GuestPtr, from: PokeSite, to: PokeSite): void {
  const there = kernel.memory.copyNofault(ip, POKE_SIZE);
  const want = pokeBytes(from, ip);
  if (there === undefined || there.some((byte, i) => byte !== want[i]))
    throw new KernelError(
      `text at ${kernel.symbols.format(ip, kernel.memory.address(ip))} is not as expected`,
      'EBUSY',
    );
  kernel.memory.poke(ip, pokeBytes(to, ip));
}
