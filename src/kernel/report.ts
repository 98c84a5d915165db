import { hex32 } from '../base/index.ts';
import { type FaultInfo, GuestFault, type GuestPtr } from '../machine/index.ts';
import { KernelOops, type Report } from './error.ts';
import type { Kernel } from './kernel.ts';
import { BHI_THUNKS, ITS_PARANOID } from './thunks.ts';

const R11 = 11;
const CODE_BEFORE = 42;
const CODE_AFTER = 22;

/** The guest's log and death, if `error` is a fault of the guest; any other error as it is. */
export function toOops(kernel: Kernel, error: unknown): unknown {
  if (!(error instanceof GuestFault) || error.fault.vector === 'budget') return error;
  const report = explain(kernel, error);
  for (const line of report.lines) kernel.printk(line);
  return new KernelOops(report, error);
}

/** cfi=warn: reports a mismatch and tells where execution goes on; undefined for anything else. */
export function warnOfCfi(kernel: Kernel, fault: FaultInfo): GuestPtr | undefined {
  if (fault.vector !== '#UD' || !kernel.target.features.cfiWarn) return undefined;
  const rip = Number(fault.rip & 0xffffffffn);
  const failure = cfiFailure(kernel, rip);
  if (failure === undefined) return undefined;
  const where = kernel.symbols.format(rip, fault.rip);
  kernel.printk(cfiLine(where, failure));
  kernel.printk(`WARNING: CPU: 0 PID: 1 at ${where}`);
  return failure.resume;
}

const cfiLine = (where: string, { target, expected }: CfiFailure): string =>
  `CFI failure at ${where} (target: ${target}; expected type: ${hex32(expected)})`;

/** What the kernel's handlers make of a fault: handle_cfi_failure, exc_control_protection, die (arch/x86/kernel, 6.12 and 6.18). */
function explain(kernel: Kernel, error: GuestFault): Report {
  const { fault } = error;
  const rip = Number(fault.rip & 0xffffffffn);
  const where = kernel.symbols.format(rip, fault.rip);
  switch (fault.vector) {
    case '#UD': {
      const cfi = cfiFailure(kernel, rip);
      if (cfi === undefined)
        return { kind: 'invalid opcode', where, lines: oops(kernel, 'invalid opcode: 0000', rip, where) };
      const { target, expected } = cfi;
      const lines = [cfiLine(where, cfi), ...oops(kernel, 'invalid opcode: 0000', rip, where)];
      return { kind: 'cfi', where, target, expected, lines };
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
      // A branch to where nothing can be executed has been taken by the time that its target faults.
      const fetch = fault.access === 'execute';
      const at = fetch ? Number(address & 0xffffffffn) : rip;
      const place = fetch ? kernel.symbols.format(at, address) : where;
      const what = fetch ? 'instruction fetch' : `${fault.access} access`;
      const reason = fault.present === true ? 'permissions violation' : 'not-present page';
      const code = (fault.present === true ? 1 : 0) | (fault.access === 'write' ? 2 : 0) | (fetch ? 16 : 0);
      const hex = (value: bigint) => value.toString(16).padStart(16, '0');
      const first =
        address < 4096n
          ? `BUG: kernel NULL pointer dereference, address: ${hex(address)}`
          : `BUG: unable to handle page fault for address: ${hex(address)}`;
      return {
        kind: 'page fault',
        where: place,
        lines: [
          first,
          `#PF: supervisor ${what} in kernel mode`,
          `#PF: error_code(0x${code.toString(16).padStart(4, '0')}) - ${reason}`,
          ...oops(kernel, `Oops: ${code.toString(16).padStart(4, '0')}`, at, place, fetch ? address : undefined),
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

/** Where in a call site a mismatch traps: kCFI's `ud2`, and the LOCK prefix inside of paranoid FineIBT's `lea`. */
const KCFI_TRAP = 12;
const PARANOID_TRAP = 13;

interface CfiFailure {
  target: string;
  expected: number;
  /** Where execution goes on under cfi=warn. */
  resume: GuestPtr;
}

/** handle_cfi_failure: kCFI and paranoid FineIBT trap in the caller, FineIBT in the callee's preamble, ITS in a thunk. */
function cfiFailure(kernel: Kernel, rip: GuestPtr): CfiFailure | undefined {
  const { features } = kernel.target;
  if (features.cfi === 'off') return undefined;
  if (features.cfi === 'kcfi') {
    const site = kernel.callSites.find(({ start }) => start + KCFI_TRAP === rip);
    if (site === undefined) return undefined;
    const negated = kernel.memory.i32(site.start + 2);
    return { target: fromR11(kernel, 0), expected: -negated >>> 0, resume: rip + 2 };
  }
  return paranoidFailure(kernel, rip) ?? bhiFailure(kernel, rip) ?? preambleFailure(kernel, rip);
}

/** A BHI thunk trapped: it was called by the last five bytes of the preamble, whose function it would have returned to. */
function bhiFailure(kernel: Kernel, rip: GuestPtr): CfiFailure | undefined {
  const { machine, memory, target } = kernel;
  if (!target.features.cfiBhi || kernel.symbols.at(rip)?.name !== BHI_THUNKS) return undefined;
  const entry = memory.ptr(machine.lo[4]! >>> 0);
  const hash = memory.copyNofault((entry - PREAMBLE_SIZE + target.era.fineibtHashOffset) >>> 0, 4);
  if (hash === undefined) return undefined;
  return {
    target: at(kernel, entry, memory.high(entry)),
    expected: (machine.lo[0]! + new DataView(hash.buffer, hash.byteOffset).getUint32(0, true)) >>> 0,
    resume: rip + 2,
  };
}

/** The caller compared hashes itself: eax is the one it wanted, r11 has been moved to the preamble. */
function paranoidFailure(kernel: Kernel, rip: GuestPtr): CfiFailure | undefined {
  if (!kernel.target.features.cfiParanoid) return undefined;
  const inThunk = kernel.memory.copyNofault(rip, ITS_PARANOID.length)?.every((byte, i) => byte === ITS_PARANOID[i]);
  if (inThunk !== true && !kernel.callSites.some(({ start }) => start + PARANOID_TRAP === rip)) return undefined;
  return {
    target: fromR11(kernel, PREAMBLE_SIZE),
    expected: kernel.machine.lo[0]! >>> 0,
    resume: inThunk === true ? rip + ITS_PARANOID.length : rip + 3,
  };
}

function preambleFailure(kernel: Kernel, rip: GuestPtr): CfiFailure | undefined {
  const { machine, memory, target } = kernel;
  const { fineibtStatic, fineibtHashOffset, fineibtHashRegister, fineibtTrapOffset } = target.era;
  const preamble = (rip - fineibtTrapOffset) >>> 0;
  const bytes = memory.copyNofault(preamble, PREAMBLE_SIZE);
  if (bytes === undefined || bytes.subarray(0, fineibtHashOffset).some((byte, i) => byte !== fineibtStatic[i]))
    return undefined;
  const hash = new DataView(bytes.buffer).getUint32(fineibtHashOffset, true);
  return {
    target: at(kernel, preamble + PREAMBLE_SIZE, memory.high(preamble)),
    expected: (machine.lo[fineibtHashRegister]! + hash) >>> 0,
    resume: preamble + PREAMBLE_SIZE,
  };
}

const PREAMBLE_SIZE = 16;

const fromR11 = (kernel: Kernel, distance: number): string =>
  at(kernel, kernel.machine.lo[R11]! + distance, kernel.machine.hi[R11]!);

const at = (kernel: Kernel, low: number, high: number): string =>
  kernel.symbols.format(low >>> 0, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));

const fullAddress = (kernel: Kernel, pointer: GuestPtr): bigint =>
  (BigInt(kernel.memory.high(pointer) >>> 0) << 32n) | BigInt(pointer);

/** The head of an oops: its title, RIP and the code around it (show_opcodes). `address`: of code that cannot be read. */
function oops(kernel: Kernel, title: string, rip: GuestPtr, where: string, address?: bigint): string[] {
  const head = `Oops: ${title} [#1] ${kernel.target.era.oopsWords}`;
  const bytes = kernel.memory.copyNofault((rip - CODE_BEFORE) >>> 0, CODE_BEFORE + CODE_AFTER);
  const code =
    bytes === undefined
      ? `Unable to access opcode bytes at 0x${((address ?? fullAddress(kernel, rip)) - BigInt(CODE_BEFORE)).toString(16)}.`
      : Array.from(bytes, (byte, i) => {
          const text = byte.toString(16).padStart(2, '0');
          return i === CODE_BEFORE ? `<${text}>` : text;
        }).join(' ');
  return [head, `RIP: 0010:${where}`, `Code: ${code}`];
}
