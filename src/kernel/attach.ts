import type { Btf } from '../btf/index.ts';
import {
  emitTrampoline,
  type FuncModel,
  funcModel,
  type PokeSite,
  TRAMP_F,
  type TrampolineImage,
  type TrampolineLink,
} from '../jit/index.ts';
import { type GuestPtr, PAGE_SIZE } from '../machine/index.ts';
import { KernelError } from './error.ts';
import type { Kernel } from './kernel.ts';
import type { LoadedProgram } from './load.ts';
import { textPoke } from './poke.ts';

/** BPF_MAX_TRAMP_LINKS. */
const MAX_LINKS = 38;
const NOTHING: PokeSite = { kind: 'call', target: 0 };

/** When a tracing program runs: before a function, after it, or before it with the right to replace its result. */
export type TracingKind = 'fentry' | 'fexit' | 'modify_return';

/** The function that a tracing program was loaded for. */
export interface TracingTarget {
  kind: TracingKind;
  name: string;
  /** Where it starts, and what it is called with. */
  address: GuestPtr;
  btf: Btf;
  proto: number;
  /** The program to which the function belongs; absent for a function of the kernel. */
  program?: LoadedProgram;
  /** Half of the trampoline's key: the function's type id. */
  typeId: number;
}

/** Where an object's tracing programs attach when that is no function of the kernel. */
export interface AttachTo {
  program: LoadedProgram;
  /** BTF of that program's object. */
  btf: Btf;
}

/**
 * Finds the function that a tracing program names, and checks that programs of its kind may attach there:
 * bpf_check_attach_target (kernel/bpf/verifier.c, 6.12).
 * @throws KernelError
 */
export function tracingTarget(
  kernel: Kernel,
  program: { name: string; attach: string; attachTarget: string; sleepable: boolean },
  to: AttachTo | undefined,
): TracingTarget {
  const name = program.attachTarget;
  const refuse = (why: string, errno: string) => new KernelError(why, errno, `program '${program.name}'`);
  const kind = KINDS[program.attach];
  if (kind === undefined) throw refuse(`attach type '${program.attach}' is not modelled`, 'EINVAL');
  const modifiable = to === undefined && (kernel.modifiable.has(name) || name.startsWith('security_'));
  const target = to === undefined ? kernelFunction(kernel, kind, name) : programFunction(kind, name, to);
  if (target === undefined) throw refuse(`there is no function '${name}' to attach to`, 'ESRCH');
  if (to?.program.tracing?.program?.tracing !== undefined)
    throw refuse('Cannot nest tracing program attach more than once', 'EINVAL');
  if (program.sleepable && !modifiable) throw refuse(`${name} is not sleepable`, 'EINVAL');
  if (kind === 'modify_return') {
    if (to !== undefined) throw refuse("can't modify return codes of BPF programs", 'EINVAL');
    if (!modifiable) throw refuse(`${name}() is not modifiable`, 'EINVAL');
  }
  return target;
}

const KINDS: Readonly<Record<string, TracingKind>> = {
  trace_fentry: 'fentry',
  trace_fexit: 'fexit',
  modify_return: 'modify_return',
};

function kernelFunction(kernel: Kernel, kind: TracingKind, name: string): TracingTarget | undefined {
  const typeId = kernel.btf.find(name, 'func');
  const symbol = kernel.symbols.find(name);
  const func = typeId === undefined ? undefined : kernel.btf.type(typeId);
  if (typeId === undefined || symbol === undefined || func?.kind !== 'func') return undefined;
  return { kind, name, address: symbol.start, btf: kernel.btf, proto: func.type, typeId };
}

function programFunction(kind: TracingKind, name: string, { program, btf }: AttachTo): TracingTarget | undefined {
  const index = program.resolved.functions.findIndex((candidate) => candidate.name === name);
  const typeId = program.resolved.functions[index]?.typeId ?? 0;
  const func = typeId === 0 ? undefined : btf.type(typeId);
  if (func?.kind !== 'func') return undefined;
  return { kind, name, address: program.functions[index]!.entry, btf, proto: func.type, program, typeId };
}

/** A trampoline's code that is in use, with its `struct bpf_tramp_image`. */
interface Image {
  pointer: GuestPtr;
  code: TrampolineImage;
  symbol: string;
}

/** All that is attached to one function: `struct bpf_trampoline` (kernel/bpf/trampoline.c, 6.12). */
export class Trampoline {
  readonly #kernel: Kernel;
  readonly #target: TracingTarget;
  readonly #model: FuncModel;
  readonly #site: GuestPtr;
  /** Links by kind, the latest first. */
  readonly #links: Record<TracingKind, TracingLink[]> = { fentry: [], fexit: [], modify_return: [] };
  #image: Image | undefined;

  constructor(kernel: Kernel, target: TracingTarget) {
    this.#kernel = kernel;
    this.#target = target;
    this.#model = funcModel(target.btf, target.proto);
    this.#site = target.address + (startsWithEndbr(kernel, target.address) ? 4 : 0);
  }

  /** The code that the function calls at present. */
  get image(): TrampolineImage | undefined {
    return this.#image?.code;
  }

  /** @throws KernelError E2BIG, EBUSY; nothing has changed then */
  link(link: TracingLink, kind: TracingKind): void {
    const links = this.#links[kind];
    if (Object.values(this.#links).flat().length >= MAX_LINKS)
      throw new KernelError(`${this.#target.name} has ${MAX_LINKS} programs already`, 'E2BIG');
    if (links.some(({ program }) => program === link.program))
      throw new KernelError(`program '${link.program.name}' is attached to ${this.#target.name} already`, 'EBUSY');
    links.unshift(link);
    try {
      this.#update();
    } catch (error) {
      links.shift();
      throw error;
    }
  }

  unlink(link: TracingLink, kind: TracingKind): void {
    const links = this.#links[kind];
    links.splice(links.indexOf(link), 1);
    this.#update();
  }

  /** A new image for the programs as they are now, and the function's call led to it (bpf_trampoline_update). */
  #update(): void {
    const old = this.#image;
    const next = Object.values(this.#links).flat().length === 0 ? undefined : this.#build();
    const call = (image: Image | undefined): PokeSite =>
      image === undefined ? NOTHING : { kind: 'call', target: image.code.address };
    try {
      textPoke(this.#kernel, this.#site, call(old), call(next));
    } catch (error) {
      if (next !== undefined) this.#free(next);
      throw error;
    }
    this.#image = next;
    if (old !== undefined) this.#put(old);
  }

  #build(): Image {
    const kernel = this.#kernel;
    const { fentry, fexit, modify_return: fmodRet } = this.#links;
    const links = (of: readonly TracingLink[]) => of.map((link) => trampolineLink(kernel, link));
    const callsOriginal = fexit.length > 0 || fmodRet.length > 0;
    const pointer = kernel.heap.alloc(kernel.btf.struct('bpf_tramp_image').size);
    const wide = (address: GuestPtr) => ({ lo: address | 0, hi: kernel.memory.high(address) });
    const code = emitTrampoline(
      {
        model: this.#model,
        flags: callsOriginal ? TRAMP_F.CALL_ORIG | TRAMP_F.SKIP_FRAME : TRAMP_F.RESTORE_REGS,
        fentry: links(fentry),
        fexit: links(fexit),
        fmodRet: links(fmodRet),
        hash: 0,
        arity: 0,
        func: wide(this.#target.address),
        funcHasEndbr: this.#site !== this.#target.address,
        image: wide(pointer),
      },
      kernel.jit,
      () => kernel.images.alloc(PAGE_SIZE, PAGE_SIZE),
    );
    kernel.memory.poke(code.address, code.bytes);
    const symbol = `bpf_trampoline_${this.#key()}`;
    kernel.symbols.add(symbol, code.address, code.allocated);
    return { pointer, code, symbol };
  }

  /** bpf_trampoline_compute_key; vmlinux's BTF object is number 1. */
  #key(): bigint {
    const { program, typeId } = this.#target;
    return program === undefined
      ? (1n << 32n) | BigInt((typeId | 0x80000000) >>> 0)
      : (BigInt(program.id) << 32n) | BigInt(typeId);
  }

  /** Whoever is inside of the traced function leaves past the programs; the code goes when nobody is (bpf_tramp_image_put). */
  #put(image: Image): void {
    const { code } = image;
    const at = (offset: number) => code.address + offset;
    if (code.ipAfterCall >= 0)
      textPoke(this.#kernel, at(code.ipAfterCall), NOTHING, { kind: 'jump', target: at(code.ipEpilogue) });
    this.#kernel.callRcu(() => this.#free(image));
  }

  #free({ pointer, code, symbol }: Image): void {
    const { symbols, images, heap } = this.#kernel;
    if (symbols.find(symbol)?.start === code.address) symbols.remove(symbol);
    images.free(code.address);
    heap.free(pointer);
  }
}

function trampolineLink(kernel: Kernel, { program, cookie }: TracingLink): TrampolineLink {
  const suffix = `${program.resolved.sleepable ? '_sleepable' : ''}_recur`;
  return {
    cookie,
    prog: { lo: program.pointer | 0, hi: kernel.memory.high(program.pointer) },
    bpfFunc: program.bpfFunc,
    enter: kernel.symbol(`__bpf_prog_enter${suffix}`),
    exit: kernel.symbol(`__bpf_prog_exit${suffix}`),
  };
}

/** ENDBR, or what boot left where one was sealed (is_endbr). */
function startsWithEndbr(kernel: Kernel, address: GuestPtr): boolean {
  const { endbrPoison } = kernel.target.era;
  const bytes = kernel.memory.copyNofault(address, 4);
  return [[0xf3, 0x0f, 0x1e, 0xfa], endbrPoison].some((form) => bytes?.every((byte, i) => byte === form[i]) === true);
}

/** An attached tracing program (BPF_LINK_TYPE_TRACING). */
export class TracingLink {
  readonly id: number;
  readonly program: LoadedProgram;
  readonly cookie: { lo: number; hi: number };
  readonly #kernel: Kernel;
  readonly #target: TracingTarget;
  #attached = false;

  /**
   * Attaches a program to the function that it was loaded for (bpf_tracing_prog_attach, kernel/bpf/syscall.c, 6.12).
   * @param cookie what `bpf_get_attach_cookie` gives the program
   * @throws KernelError EINVAL for a program that traces nothing; E2BIG, EBUSY
   */
  constructor(kernel: Kernel, program: LoadedProgram, cookie: { lo: number; hi: number } = { lo: 0, hi: 0 }) {
    const target = program.tracing;
    if (target === undefined) throw new KernelError(`program '${program.name}' traces nothing`, 'EINVAL');
    this.program = program;
    this.cookie = cookie;
    this.#kernel = kernel;
    this.#target = target;
    const known = kernel.trampolines.get(target.address);
    const trampoline = known ?? new Trampoline(kernel, target);
    trampoline.link(this, target.kind);
    if (known === undefined) kernel.trampolines.set(target.address, trampoline);
    this.#attached = true;
    this.id = kernel.nextId();
  }

  get trampoline(): Trampoline | undefined {
    return this.#attached ? this.#kernel.trampolines.get(this.#target.address) : undefined;
  }

  /** Detaches the program; a function without any gets its nop back. */
  detach(): void {
    const { trampoline } = this;
    if (trampoline === undefined) return;
    trampoline.unlink(this, this.#target.kind);
    this.#attached = false;
    if (trampoline.image === undefined) this.#kernel.trampolines.delete(this.#target.address);
  }
}
