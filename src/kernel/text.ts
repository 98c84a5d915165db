import type { GuestPtr } from '../machine/index.ts';
import type { Features } from '../target/index.ts';
import { Emitter, REG, X } from '../x86/index.ts';
import { compiledCallSite, compiledPreamble } from './cfi.ts';
import { THUNK_SIZE } from './thunks.ts';

/** Function alignment; CONFIG_CALL_PADDING puts the prefix into the 16 bytes before it. */
const ALIGN = 16;
const CACHE_LINE = 64;

/** Bytes of the nop at a function's start that tracing turns into a call (-mfentry). */
const PATCH_SITE = 5;

/** Bytes from a function's start to its work: ENDBR and patch site. */
export const workOffset = (features: Pick<Features, 'ibt'>, traceable: boolean): number =>
  (features.ibt ? 4 : 0) + (traceable ? PATCH_SITE : 0);

export interface TextFunction {
  name: string;
  start: GuestPtr;
  size: number;
}

/** A call site in kernel text. */
export interface TextCallSite {
  /** First byte of the hash check. */
  start: GuestPtr;
  /** The type id as compiled. */
  hash: number;
}

/** Kernel text as the compiler and linker would leave it, with the tables that boot works through. */
export interface KernelText {
  bytes: Uint8Array;
  functions: TextFunction[];
  /** Addresses of functions with a preamble (`.cfi_sites`). */
  preambles: GuestPtr[];
  callSites: TextCallSite[];
  /** Functions whose address nobody takes (`.ibt_endbr_seal`). */
  sealed: GuestPtr[];
}

/** Lays out functions one after the other, each with the kCFI preamble that clang gives it. */
export class TextBuilder {
  readonly #e = new Emitter();
  readonly #base: GuestPtr;
  readonly #features: Features;
  readonly #text: KernelText;

  constructor(base: GuestPtr, features: Features) {
    this.#base = base;
    this.#features = features;
    this.#text = { bytes: new Uint8Array(0), functions: [], preambles: [], callSites: [], sealed: [] };
  }

  /** Where every function returns to instead of returning: the active return thunk, if there is one. */
  returnThunk: GuestPtr | undefined;

  /** Bytes without a preamble whose first lies `lead` bytes into a cache line. */
  aligned(name: string, lead: number, body: (e: Emitter) => void): GuestPtr {
    const e = this.#e;
    const start = Math.ceil((e.length + CACHE_LINE - lead) / CACHE_LINE) * CACHE_LINE + lead;
    while (e.length < start) e.op(X.int3);
    body(e);
    this.#text.functions.push({ name, start: this.#base + start, size: e.length - start });
    return this.#base + start;
  }

  /** Address of a function that was added before. */
  addressOf(name: string): GuestPtr {
    return this.#text.functions.find((candidate) => candidate.name === name)!.start;
  }

  #ret(e: Emitter): void {
    if (this.returnThunk === undefined) e.op(X.ret);
    else e.rel32(X.jmp_Jz, (this.returnThunk - (this.#base + e.length + 5)) | 0);
  }

  /** Adds a function. Without a hash it has no preamble, as functions that are only called directly from assembly. */
  function(
    name: string,
    options: { hash?: number; sealed?: boolean; arity?: number },
    body: (e: Emitter) => void,
  ): GuestPtr {
    const e = this.#e;
    const prefix = 5 + this.#features.callPadding;
    const start = Math.ceil((e.length + ALIGN) / ALIGN) * ALIGN;
    while (e.length < start - prefix) e.op(X.int3);
    if (options.hash === undefined) {
      while (e.length < start) e.op(X.nop);
      if (this.#features.ibt) e.op(X.endbr64);
    } else {
      e.append(compiledPreamble(options.hash, this.#features, options.arity ?? 0));
      this.#text.preambles.push(this.#base + start);
    }
    if (options.sealed === true) this.#text.sealed.push(this.#base + start);
    body(e);
    this.#text.functions.push({ name, start: this.#base + start, size: e.length - start });
    return this.#base + start;
  }

  /** A no-op of the prototype with type id `hash`: `nop5 ; xor eax, eax ; ret`. */
  stub(name: string, hash: number, arity: number, sealed = false): GuestPtr {
    return this.function(name, { hash, sealed, arity }, (e) => {
      e.nops(5);
      e.reg(X.xor_EvGv, 4, REG.rax, REG.rax);
      this.#ret(e);
    });
  }

  /** A function whose work is done by the host: `[nop5 ;] vmcall ; ret`, with the patch site where it can be traced. */
  gate(name: string, hash: number | undefined, arity = 0, traceable = false): GuestPtr {
    return this.function(name, hash === undefined ? {} : { hash, arity }, (e) => {
      if (traceable) e.nops(PATCH_SITE);
      e.op(X.vmcall);
      this.#ret(e);
    });
  }

  /**
   * A function that performs one indirect call the way clang lays it out. The table is in rax and the member's offset
   * known, or the target in r11; argument registers are passed through and stack arguments copied:
   *
   *     push rbp ; mov rbp, rsp ; [sub rsp, 8] ; [push [rbp+16+8i]]… ; [mov r11, [rax+member]] ; check ; call ; leave ; ret
   */
  callSite(name: string, hash: number, member: number | undefined, stackArguments: number): GuestPtr {
    return this.function(name, {}, (e) => {
      e.plus(X.push_Zq, 8, REG.rbp);
      e.reg(X.mov_EvGv, 8, REG.rbp, REG.rsp);
      if (stackArguments % 2 === 1) e.regImm8(X.sub_EvIb, 8, REG.rsp, 8);
      for (let i = stackArguments - 1; i >= 0; i--) e.mem(X.push_Eq, 8, REG.rbp, 16 + 8 * i);
      if (member !== undefined) e.mem(X.mov_GvEv, 8, REG.rax, member, REG.r11);
      const start = this.#base + e.length;
      const thunk = this.addressOf('__x86_indirect_thunk_array') + THUNK_SIZE * REG.r11;
      e.append(compiledCallSite(hash, this.#features, 'call', start, thunk));
      this.#text.callSites.push({ start, hash });
      e.op(X.leave);
      this.#ret(e);
    });
  }

  /** The text, padded to whole pages with int3. */
  build(): KernelText {
    const e = this.#e;
    while (e.length % 4096 !== 0) e.op(X.int3);
    return { ...this.#text, bytes: e.take() };
  }
}
