import type { GuestPtr } from '../machine/index.ts';
import { KernelOops, type Report } from './error.ts';
import { callSiteName, type Kernel } from './kernel.ts';
import type { StructOpsMap } from './struct_ops.ts';
import type { Argument } from './types.ts';

/** Ways to call a member wrongly. */
export const BREAK_WAYS = ['wrong-type', 'no-endbr', 'skip-preamble', 'sealed', 'mid-function'] as const;
export type BreakWay = (typeof BREAK_WAYS)[number];

/** What came of one wrong call, from executing it. */
export interface BreakCell {
  way: BreakWay;
  /** Whether anything trapped, and what the kernel says then. */
  trapped: boolean;
  report?: Report;
  /** Where the call went. */
  target: string;
}

/**
 * Calls `member` of a registered table wrongly and tells what happens. The table is as before afterwards.
 *
 * - wrong-type: another member's trampoline stands in the slot
 * - no-endbr: the trampoline's ENDBR (that of its preamble under FineIBT) is overwritten with nops
 * - skip-preamble: the pointer is 4 bytes further, behind the ENDBR or its poison
 * - sealed: a kernel function of the right type whose address is never taken
 * - mid-function: the pointer leads into the middle of the trampoline
 */
export function breakMember(
  kernel: Kernel,
  map: StructOpsMap,
  member: string,
  way: BreakWay,
  args: readonly Argument[],
): BreakCell {
  const { memory } = kernel;
  const own = map.members.find((candidate) => candidate.member === member)!;
  const slot = (map.kdata + kernel.field(map.type, member).offset) >>> 0;
  const before = memory.bytes(own.trampoline.address, own.trampoline.bytes.length).slice();
  let target: GuestPtr = own.address;
  switch (way) {
    case 'wrong-type':
      target =
        map.members.find((candidate) => candidate.hash !== own.hash)?.address ?? kernel.symbol('bpf_dummy_test_2');
      break;
    case 'no-endbr': {
      const at = kernel.target.features.cfi === 'fineibt' ? own.trampoline.address : own.address;
      memory.poke(at, Uint8Array.of(0x0f, 0x1f, 0x40, 0x00));
      break;
    }
    case 'skip-preamble':
      target = own.address + 4;
      break;
    case 'sealed':
      target = kernel.symbol(`sealed_${map.type}_${member}`);
      break;
    case 'mid-function':
      target = own.address + 12;
      break;
  }
  memory.setPtr(slot, target);
  const name = kernel.symbols.format(target, memory.address(target));
  const registers = kernel.machine.registers();
  try {
    kernel.call(kernel.symbol(callSiteName(map.type, member)), args, map.kdata);
    return { way, trapped: false, target: name };
  } catch (error) {
    if (!(error instanceof KernelOops)) throw error;
    return { way, trapped: true, report: error.report, target: name };
  } finally {
    kernel.machine.setRegisters(registers);
    memory.poke(own.trampoline.address, before);
    memory.setPtr(slot, own.address);
  }
}
