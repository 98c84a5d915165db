import { type GuestPtr, PAGE_SIZE } from '../machine/index.ts';
import type { Features } from '../target/index.ts';
import { type Emitter, REG, X } from '../x86/index.ts';
import { BHI_THUNK_SIZE } from './cfi.ts';
import type { KernelText, TextBuilder } from './text.ts';

/** Bytes of one entry of the thunk arrays; ITS entries fill a cache line, with the branch in its upper half. */
export const THUNK_SIZE = 32;
const ITS_THUNK_SIZE = 64;
const REGISTER_COUNT = 16;
/** In front of each ITS thunk: paranoid FineIBT enters at the `jne -3`, which leads onto the d6 (#UD). */
export const ITS_PARANOID = [0xd6, 0x75, 0xfd] as const;

/**
 * The functions behind mitigations (arch/x86/lib/retpoline.S): indirect branches and returns go through them. All are
 * there in every guest, as in a kernel; features decide who uses which.
 */
export function layOutThunks(builder: TextBuilder, features: Features, callDepth: number): void {
  const array = (name: string, size: number, lead: number, body: (e: Emitter, register: number) => void) =>
    builder.aligned(name, lead, (e) => {
      for (let register = 0; register < REGISTER_COUNT; register++) {
        const end = e.length + size;
        body(e, register);
        while (e.length < end) e.op(X.int3);
      }
    });
  array('__x86_indirect_thunk_array', THUNK_SIZE, 0, emitRetpoline);
  array('__x86_indirect_call_thunk_array', THUNK_SIZE, 0, (e, register) => {
    emitPerCpuShift(e, 7, callDepth);
    emitRetpoline(e, register);
  });
  array('__x86_indirect_jump_thunk_array', THUNK_SIZE, 0, emitRetpoline);
  array('__x86_indirect_its_thunk_array', ITS_THUNK_SIZE, ITS_THUNK_SIZE / 2, (e, register) => {
    e.bytes.set(ITS_PARANOID, e.length - ITS_PARANOID.length);
    e.reg(X.jmp_Eq, 8, register);
    e.op(X.int3);
  });
  builder.aligned('__x86_return_thunk', 0, emitPlainReturn);
  builder.aligned('its_return_thunk', 32, emitPlainReturn);
  builder.aligned('srso_return_thunk', 0, emitPlainReturn);
  builder.aligned('call_depth_return_thunk', 0, (e) => {
    emitPerCpuShift(e, 4, callDepth);
    emitPlainReturn(e);
  });
  builder.aligned(BHI_THUNKS, 0, emitBhiThunks);
  builder.aligned('clear_bhb_loop', 0, (e) => {
    e.plus(X.mov_ZvIv, 4, REG.rcx);
    e.u32(5);
    const again = e.length;
    e.regImm8(X.sub_EvIb, 4, REG.rcx, 1);
    e.rel8(X.jcc_Jb[5]!, again - e.length - 2);
    e.op(X.lfence);
    emitPlainReturn(e);
  });
  builder.returnThunk = features.rethunk ? builder.addressOf(returnThunkName(features)) : undefined;
}

const CACHE_LINE = 64;
/** `jmp r11 ; int3`, and what stands in front of it for paranoid callers. */
const ITS_JUMP = [0x41, 0xff, 0xe3, 0xcc] as const;

/** Bytes of a call site's own ITS thunk, and of the part that lies in front of the address to call. */
export const itsThunkSize = (paranoid: boolean): { size: number; lead: number } =>
  paranoid ? { size: ITS_PARANOID.length + ITS_JUMP.length, lead: 1 } : { size: ITS_JUMP.length, lead: 0 };

/** Whether an ITS thunk may begin here: its last byte lies in the upper half of a cache line (its_allocate_thunk). */
export const mayHoldItsThunk = (at: number, size: number): boolean => (at + size - 1) % CACHE_LINE >= CACHE_LINE / 2;

/**
 * ITS thunks of single call sites, in pages behind the text, one after the other in the upper halves of cache lines as the
 * kernel allocates them at boot (its_allocate_thunk in arch/x86/kernel/alternative.c, 6.12 and 6.18).
 */
export class ItsThunks {
  readonly #base: GuestPtr;
  readonly #text: KernelText;
  /** Next free byte of the text; at a multiple of the page size a new page begins. */
  #next: number;

  constructor(base: GuestPtr, text: KernelText) {
    this.#base = base;
    this.#text = text;
    this.#next = text.bytes.length;
  }

  /** `jmp r11`; gives the address to call, which under paranoid FineIBT is the `jne` in front of it. */
  allocate(paranoid: boolean): GuestPtr {
    const { size, lead } = itsThunkSize(paranoid);
    if (this.#next + size > this.#text.bytes.length) this.#addPage();
    while (!mayHoldItsThunk(this.#next, size)) this.#next++;
    const at = this.#next;
    this.#text.bytes.set(paranoid ? [...ITS_PARANOID, ...ITS_JUMP] : ITS_JUMP, at);
    this.#next += size;
    return this.#base + at + lead;
  }

  #addPage(): void {
    const { bytes } = this.#text;
    const grown = new Uint8Array(bytes.length + PAGE_SIZE).fill(0xcc);
    grown.set(bytes);
    this.#text.bytes = grown;
    this.#next = bytes.length + CACHE_LINE / 2;
  }
}

/** The return thunk that boot chooses (x86_return_thunk). */
export function returnThunkName(features: Features): string {
  if (features.callDepth) return 'call_depth_return_thunk';
  if (features.its) return 'its_return_thunk';
  return features.rethunk ? 'srso_return_thunk' : '__x86_return_thunk';
}

/** `call over ; int3 ; over: mov [rsp], reg ; ret`: the return predictor is the only one that speaks. */
function emitRetpoline(e: Emitter, register: number): void {
  e.rel32(X.call_Jz, 1);
  e.op(X.int3);
  e.mem(X.mov_EvGv, 8, REG.rsp, 0, register);
  emitPlainReturn(e);
}

/** `__bhi_args`. */
export const BHI_THUNKS = '__bhi_args';
const BHI_REGISTERS = [REG.rdi, REG.rsi, REG.rdx, REG.rcx, REG.r8, REG.r9, REG.rsp] as const;

/**
 * BHI's thunks by arity (arch/x86/lib/bhi.S, 6.18): after a failed comparison to a `ud2 ; ret` that stands in the gap behind
 * thunk 1 or 5; else `cmovne` of what is left of the hash into each argument register.
 */
function emitBhiThunks(e: Emitter): void {
  const base = e.length;
  const traps = [40, 184];
  const fill = (to: number) => e.nops(base + to - e.length);
  for (let arity = 0; arity <= BHI_REGISTERS.length; arity++) {
    fill(BHI_THUNK_SIZE * arity);
    e.rel8(X.jcc_Jb[5]!, base + traps[arity < 4 ? 0 : 1]! - e.length - 2);
    for (const register of BHI_REGISTERS.slice(0, arity)) e.reg(X.cmovcc_GvEv[5]!, 8, REG.rax, register);
    emitPlainReturn(e);
    if (arity !== 1 && arity !== 5) continue;
    fill(traps[arity === 1 ? 0 : 1]!);
    e.op(X.ud2);
    emitPlainReturn(e);
  }
}

function emitPlainReturn(e: Emitter): void {
  e.op(X.ret);
  e.op(X.int3);
}

/** `sar` (7) or `shl` (4) of the per-CPU call depth by 5. */
function emitPerCpuShift(e: Emitter, extension: 4 | 7, callDepth: number): void {
  e.u8(0x65);
  e.memAbsolute(extension === 7 ? X.sar_EvIb : X.shl_EvIb, 8, callDepth, 0);
  e.u8(5);
}
