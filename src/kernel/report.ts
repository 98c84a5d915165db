import { hex32 } from '../base/index.ts';
import { GuestFault, type GuestPtr } from '../machine/index.ts';
import { KernelOops, type Report } from './error.ts';
import type { Kernel } from './kernel.ts';

const R10 = 10;
const R11 = 11;
const CODE_BEFORE = 42;
const CODE_AFTER = 21;

/** The guest's log and death, if `error` is a fault of the guest; any other error as it is. */
export function toOops(kernel: Kernel, error: unknown): unknown {
  if (!(error instanceof GuestFault) || error.fault.vector === 'budget') return error;
  const report = explain(kernel, error);
  for (const line of report.lines) kernel.printk(line);
  return new KernelOops(report, error);
}

/** What the kernel's handlers make of a fault: handle_cfi_failure, exc_control_protection, die (arch/x86/kernel, 6.12). */
function explain(kernel: Kernel, error: GuestFault): Report {
  const { fault } = error;
  const rip = Number(fault.rip & 0xffffffffn);
  const where = kernel.symbols.format(rip, fault.rip);
  switch (fault.vector) {
    case '#UD': {
      const cfi = cfiFailure(kernel, rip);
      if (cfi === undefined)
        return { kind: 'invalid opcode', where, lines: oops(kernel, 'invalid opcode: 0000', rip, where) };
      const line = `CFI failure at ${where} (target: ${cfi.target}; expected type: ${hex32(cfi.expected)})`;
      return { kind: 'cfi', where, ...cfi, lines: [line, ...oops(kernel, 'invalid opcode: 0000', rip, where)] };
    }
    case '#CP':
      return {
        kind: 'ibt',
        where,
        lines: [
          `Missing ENDBR: ${where}`,
          'kernel BUG at arch/x86/kernel/cet.c:102!',
          ...oops(kernel, 'invalid opcode: 0000', rip, where),
        ],
      };
    case '#PF': {
      const address = fault.address ?? 0n;
      const what = fault.access === 'execute' ? 'instruction fetch' : `${fault.access} access`;
      const reason = fault.present === true ? 'permissions violation' : 'not-present page';
      const code =
        (fault.present === true ? 1 : 0) | (fault.access === 'write' ? 2 : 0) | (fault.access === 'execute' ? 16 : 0);
      const hex = (value: bigint) => value.toString(16).padStart(16, '0');
      const first =
        address < 4096n
          ? `BUG: kernel NULL pointer dereference, address: ${hex(address)}`
          : `BUG: unable to handle page fault for address: ${hex(address)}`;
      return {
        kind: 'page fault',
        where,
        lines: [
          first,
          `#PF: supervisor ${what} in kernel mode`,
          `#PF: error_code(0x${code.toString(16).padStart(4, '0')}) - ${reason}`,
          ...oops(kernel, `Oops: ${code.toString(16).padStart(4, '0')}`, rip, where),
        ],
      };
    }
    case '#DE':
      return { kind: 'fault', where, lines: oops(kernel, 'divide error: 0000', rip, where) };
    case '#BP':
      return { kind: 'fault', where, lines: oops(kernel, 'int3: 0000', rip, where) };
    default:
      return {
        kind: 'fault',
        where,
        lines: oops(kernel, 'general protection fault, probably for non-canonical address', rip, where),
      };
  }
}

/** kCFI traps in the caller, at a known `ud2`; FineIBT in the callee's preamble. */
function cfiFailure(kernel: Kernel, rip: GuestPtr): { target: string; expected: number } | undefined {
  const { machine } = kernel;
  const format = (low: number, high: number) => {
    const address = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    return kernel.symbols.format(low >>> 0, address);
  };
  const { features, era } = kernel.target;
  if (features.cfi === 'kcfi') {
    const site = kernel.callSites.find(({ trap }) => trap === rip);
    if (site === undefined) return undefined;
    const check = kernel.memory.bytes(site.start, 6);
    const negated = check[2]! | (check[3]! << 8) | (check[4]! << 16) | (check[5]! << 24);
    return { target: format(machine.lo[R11]!, machine.hi[R11]!), expected: -negated >>> 0 };
  }
  if (features.cfi === 'fineibt') {
    const preamble = rip - era.fineibtTrapOffset;
    const bytes = kernel.memory.copyNofault(preamble, 16);
    if (
      bytes === undefined ||
      bytes[era.fineibtHashOffset - 1] !== era.fineibtStatic[era.fineibtHashOffset - 1] ||
      bytes[0] !== 0xf3
    )
      return undefined;
    const at = era.fineibtHashOffset;
    const hash = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    const register = era.fineibtHashRegister === 10 ? R10 : 0;
    return {
      target: format(preamble + 16, kernel.memory.high(preamble)),
      expected: (machine.lo[register]! + hash) >>> 0,
    };
  }
  return undefined;
}

/** The head of an oops: its title, RIP and the code around it. */
function oops(kernel: Kernel, title: string, rip: GuestPtr, where: string): string[] {
  const code: string[] = [];
  for (let at = rip - CODE_BEFORE; at < rip + CODE_AFTER; at++) {
    const byte = kernel.memory.copyNofault(at >>> 0, 1);
    if (byte === undefined) continue;
    const text = byte[0]!.toString(16).padStart(2, '0');
    code.push(at === rip ? `<${text}>` : text);
  }
  const head = title.startsWith('Oops') ? `${title} [#1] PREEMPT SMP` : `Oops: ${title} [#1] PREEMPT SMP`;
  return [head, `RIP: 0010:${where}`, `Code: ${code.length === 0 ? 'Unable to access opcode bytes' : code.join(' ')}`];
}
