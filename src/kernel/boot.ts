import { kcfiHash } from '../btf/index.ts';
import type { JitContext, JitSymbols } from '../jit/index.ts';
import { GuestMemory, type GuestPtr, Machine, PAGE_SIZE } from '../machine/index.ts';
import { CFI_HASHES, seedHash, type Target } from '../target/index.ts';
import { REG } from '../x86/index.ts';
import { Allocator } from './alloc.ts';
import { arityOf, bootCallSite, bootPreamble, CALL_SITE_SIZE, sealPreamble } from './cfi.ts';
import { UnsupportedError } from './error.ts';
import { helperGates } from './helpers.ts';
import { callSiteName, gateCall, Kernel } from './kernel.ts';
import { commonKfuncs } from './kfuncs.ts';
import { progEnterGates } from './prog_enter.ts';
import { Symbols } from './symbols.ts';
import { type KernelText, TextBuilder, workOffset } from './text.ts';
import { BHI_THUNKS, ItsThunks, layOutThunks, returnThunkName, THUNK_SIZE } from './thunks.ts';
import type { GateDef, GateHandler, Subsystem } from './types.ts';

// The guest's address map; docs/numbers.md draws it.
const TEXT_BASE = 0xffffffff81000000n;
const IMAGES_BASE = 0xffffffffc0000000n;
const HEAP_BASE = 0xffff888010000000n;
const PERCPU_BASE = 0xffff88803ec00000n;
const VMALLOC_BASE = 0xffffc90020000000n;
const STACK_BASE = 0xffffc90060000000n;
const TEXT_SIZE = 1 << 20;
const IMAGES_SIZE = 4 << 20;
const HEAP_SIZE = 64 << 20;
const VMALLOC_SIZE = 96 << 20;
const PERCPU_SIZE = 4 << 20;
/** Per-CPU offsets as in the reference kernels: `this_cpu_off` and `pcpu_hot`. */
const THIS_CPU_OFF = 0x15198;
const PCPU_HOT = 0x2bfc0;
const CALL_DEPTH = PCPU_HOT + 16;
const STACK_SIZE = 64 << 10;

export interface BootOptions {
  target: Target;
  subsystems: readonly Subsystem[];
  /** For every random choice of the kernel's own. */
  seed?: number;
}

/**
 * Boots a guest kernel: lays out its text as a compiler would, applies the CFI mode as the kernel does, seals, maps memory.
 * @throws UnsupportedError for an era or a mitigation that the guest's text does not model
 */
export function bootKernel(options: BootOptions): Kernel {
  const { target } = options;
  const { features, era } = target;
  const memory = new GuestMemory(TEXT_SIZE + IMAGES_SIZE + HEAP_SIZE + VMALLOC_SIZE + PERCPU_SIZE + STACK_SIZE);
  const machine = new Machine(memory, { ibt: target.cpu.ibt && features.ibt });
  const textRegion = memory.mapRegion('text', TEXT_BASE, TEXT_SIZE, 'none');
  const images = memory.mapRegion('BPF images', IMAGES_BASE, IMAGES_SIZE, 'rx');
  const heap = memory.mapRegion('heap', HEAP_BASE, HEAP_SIZE);
  const vmalloc = memory.mapRegion('vmalloc', VMALLOC_BASE, VMALLOC_SIZE);
  const percpu = memory.mapRegion('per-CPU', PERCPU_BASE, PERCPU_SIZE);
  const stack = memory.mapRegion('stack', STACK_BASE, STACK_SIZE);

  let kernel: Kernel | undefined;
  const alive = (): Kernel => kernel!;
  const gates = collectGates(options.subsystems, alive);
  const builder = new TextBuilder(textRegion.start, features);
  const modifiable = new Set(options.subsystems.flatMap((s) => s.modifiable ?? []));
  const traceable = new Set([...gates.keys()].filter((name) => !NOTRACE.test(name)));
  layOut(builder, options.subsystems, gates, traceable, target);
  const text = builder.build();
  applyCfi(text, textRegion.start, target);
  memory.poke(textRegion.start, text.bytes);
  memory.protect(textRegion.start, text.bytes.length, 'rx');

  const symbols = new Symbols();
  const handlers = new Map<GuestPtr, GateHandler>();
  const preambles = new Set(text.preambles);
  for (const { name, start, size } of text.functions) {
    symbols.add(name, start, size);
    if (preambles.has(start)) symbols.add(`__cfi_${name}`, start - 5 - features.callPadding, 5 + features.callPadding);
    const handler = gates.get(name);
    if (handler !== undefined) handlers.set(start + workOffset(features, traceable.has(name)), handler);
  }
  const heapAlloc = new Allocator(memory, heap);
  const percpuAlloc = new Allocator(memory, { ...percpu, start: percpu.start + (64 << 12) });
  const jiffies = heapAlloc.alloc(8);
  symbols.add('jiffies', jiffies, 8);
  const taskStruct = target.btf.find('task_struct', 'struct');
  const taskSize = taskStruct === undefined ? PAGE_SIZE : target.btf.sizeOf(taskStruct);
  symbols.add('init_task', heapAlloc.alloc(taskSize, 64), taskSize);
  symbols.add('pcpu_hot', percpu.start + PCPU_HOT, 64);
  memory.setPtr(percpu.start + THIS_CPU_OFF, percpu.start);
  machine.setGs(percpu.start, memory.high(percpu.start));
  machine.hostReturn = symbols.find('host_return')!.start + workOffset(features, false);
  machine.setStack(stack.start + stack.size - 64);
  const call = gateCall(machine);
  machine.onHypercall = (_, address) => {
    const handler = handlers.get(address);
    if (handler === undefined) throw new UnsupportedError(`hypercall at 0x${address.toString(16)} that is no gate`);
    handler(call);
  };
  kernel = new Kernel({
    target,
    memory,
    machine,
    symbols,
    callSites: text.callSites,
    heap: heapAlloc,
    vmalloc: new Allocator(memory, vmalloc),
    percpu: percpuAlloc,
    images: new Allocator(memory, images),
    jit: jitContext(target, symbols),
    structOps: new Map(options.subsystems.flatMap((s) => s.structOps).map((def) => [def.name, def])),
    jiffies,
    percpuBase: percpu.start,
    modifiable,
    seed: options.seed ?? 1,
  });
  const words = { 'rehashed ': target.hashSeed !== 0, 'paranoid ': features.cfiParanoid, '+BHI': features.cfiBhi };
  kernel.printk(
    era.bootLine[features.cfi].replace(/\{(.*?)\}/g, (_, word: keyof typeof words) => (words[word] ? word : '')),
  );
  return kernel;
}

function collectGates(subsystems: readonly Subsystem[], kernel: () => Kernel): Map<string, GateHandler> {
  const gates = progEnterGates(() => kernel().runs);
  const add = (defs: readonly GateDef[]) => {
    for (const { name, handler } of defs) gates.set(name, handler);
  };
  add(helperGates(kernel));
  add(commonKfuncs(kernel));
  for (const subsystem of subsystems) add(subsystem.gates?.(kernel) ?? []);
  return gates;
}

/** Every function of the guest's text. */
function layOut(
  builder: TextBuilder,
  subsystems: readonly Subsystem[],
  gates: ReadonlyMap<string, GateHandler>,
  traceable: ReadonlySet<string>,
  { btf, features }: Target,
): void {
  layOutThunks(builder, features, CALL_DEPTH);
  builder.gate('host_return', undefined);
  builder.gate('__bpf_call_base', undefined);
  for (const subsystem of subsystems) {
    for (const { name, hash, arity } of subsystem.stubs ?? []) builder.stub(name, hash, arity);
    for (const { name, hash } of subsystem.callSites ?? []) builder.callSite(name, hash, undefined, 0);
    for (const def of subsystem.structOps) {
      for (const member of btf.struct(def.name).members) {
        const pointer = btf.resolve(member.type);
        const proto = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : undefined;
        if (proto?.kind !== 'func_proto') continue;
        const hash = kcfiHash(btf, proto.id);
        const registers = argumentRegisters(btf, proto.params);
        const stub = def.stubs[member.name];
        if (stub !== undefined) builder.stub(stub, hash, arityOf(registers));
        // The same prototype, but its address is never taken: boot seals it.
        builder.stub(`sealed_${def.name}_${member.name}`, hash, arityOf(registers), true);
        builder.callSite(callSiteName(def.name, member.name), hash, member.bitOffset / 8, Math.max(0, registers - 6));
      }
    }
  }
  for (const name of gates.keys()) {
    const func = btf.find(name, 'func');
    const known = func === undefined ? undefined : btf.type(func);
    const proto = known?.kind === 'func' ? btf.resolve(known.type) : undefined;
    const arity = proto?.kind === 'func_proto' ? arityOf(argumentRegisters(btf, proto.params)) : 0;
    builder.gate(name, known?.kind === 'func' ? kcfiHash(btf, known.type) : undefined, arity, traceable.has(name));
  }
}

function argumentRegisters(btf: Target['btf'], params: readonly { type: number }[]): number {
  return params.reduce((sum, { type }) => sum + Math.ceil(btf.sizeOf(type) / 8), 0);
}

/** apply_fineibt and apply_seal_endbr over the text, in place. */
function applyCfi(text: KernelText, base: GuestPtr, target: Target): void {
  const { features, era, hashSeed } = target;
  const prefix = 5 + features.callPadding;
  const length = prefix + (features.ibt ? 4 : 0);
  const sealed = new Set(text.sealed);
  const named = new Map(text.functions.map(({ name, start }) => [name, start]));
  for (const start of text.preambles) {
    const at = start - base - prefix;
    const booted = bootPreamble(
      text.bytes.subarray(at, at + length),
      features,
      era,
      hashSeed,
      start - prefix,
      named.get(BHI_THUNKS),
    );
    text.bytes.set(sealed.has(start) ? sealPreamble(booted, features, era) : booted, at);
  }
  const r11 = (array: string) => named.get(array)! + THUNK_SIZE * REG.r11;
  const thunks = new ItsThunks(base, text);
  for (const { start } of text.callSites) {
    const at = start - base;
    const booted = bootCallSite(text.bytes.subarray(at, at + CALL_SITE_SIZE), start, features, era, hashSeed, {
      accounting: { call: r11('__x86_indirect_call_thunk_array'), jump: r11('__x86_indirect_jump_thunk_array') },
      its: () => thunks.allocate(features.cfiParanoid),
    });
    text.bytes.set(booted, at);
  }
}

/** Functions without a patch site at their start (`notrace`). */
const NOTRACE = /^__bpf_(prog|tramp)_(enter|exit)|^arch_bpf_timed_may_goto/;

/** What the JIT needs to know of this kernel. */
function jitContext(target: Target, symbols: Symbols): JitContext {
  const named: Record<string, number> = {};
  for (const name of ['enter', 'exit'].flatMap((way) =>
    ['', '_sleepable', '_recur', '_sleepable_recur'].map((kind) => `__bpf_prog_${way}${kind}`),
  ))
    named[name] = symbols.find(name)!.start;
  named['__bpf_tramp_enter'] = symbols.find('__bpf_tramp_enter')!.start;
  named['__bpf_tramp_exit'] = symbols.find('__bpf_tramp_exit')!.start;
  const seeded = (hash: number) => seedHash(hash, target.hashSeed, target.era);
  return {
    features: target.features,
    era: target.era,
    offsets: target.offsets,
    hashes: { program: seeded(CFI_HASHES.program), subprogram: seeded(CFI_HASHES.subprogram) },
    symbols: {
      ...named,
      callBase: symbols.find('__bpf_call_base')!.start,
      returnThunk: symbols.find(returnThunkName(target.features))!.start,
      indirectThunks: symbols.find('__x86_indirect_thunk_array')!.start,
      indirectJumpThunks: symbols.find('__x86_indirect_jump_thunk_array')!.start,
      itsThunks: symbols.find('__x86_indirect_its_thunk_array')!.start,
      callDepth: CALL_DEPTH,
      thisCpuOffset: THIS_CPU_OFF,
      clearBhbLoop: symbols.find('clear_bhb_loop')!.start,
      bhiArgs: symbols.find(BHI_THUNKS)!.start,
    } as JitSymbols,
    accountedCallees: new Set(),
    taskSizeMax: { lo: 0xfffff000, hi: 0x7fff },
    vsyscall: { lo: 0xff600000 | 0, hi: -1 },
  };
}
