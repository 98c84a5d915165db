import { CALL, type Insn, LD_IMM64, MODE, PSEUDO, PSEUDO_CALL, PSEUDO_KFUNC_CALL } from '../bpf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import {
  encodeForLoad,
  POISON_CORE,
  type ProgramReference,
  type ResolvedObject,
  type ResolvedProgram,
} from '../object/index.ts';
import {
  applyReplacements,
  checkStructure,
  extendExchange,
  type FunctionRange,
  followTypes,
  guardDivision,
  inlineHelper,
  type Replacement,
  VerifierError,
} from '../verifier/index.ts';
import { type AttachTo, type TracingTarget, tracingTarget } from './attach.ts';
import { UnsupportedError } from './error.ts';
import { helperSymbol, mapOperation } from './helpers.ts';
import type { Kernel } from './kernel.ts';
import { type BpfMap, createMap, fillMapSlots } from './maps.ts';
import { type LoadedFunction, type PreparedFunction, placeFunctions } from './place.ts';

/** Helpers that tcp_congestion_ops.release gets no prototype of: setsockopt, getsockopt (bpf_tcp_ca_get_func_proto). */
const NOT_IN_RELEASE = [49, 57];

export interface LoadedProgram {
  id: number;
  name: string;
  resolved: ResolvedProgram;
  /** Address of `struct bpf_prog`. */
  pointer: GuestPtr;
  bpfFunc: GuestPtr;
  functions: LoadedFunction[];
  /** What a tracing program attaches to. */
  tracing?: TracingTarget;
  /** Programs are checked for structure but not verified. */
  verified: false;
}

export interface LoadedObject {
  resolved: ResolvedObject;
  maps: BpfMap[];
  programs: LoadedProgram[];
  /** Frees maps and programs. */
  unload(): void;
}

/**
 * Loads an object: maps first, then every program that is to be loaded. If anything is refused, nothing stays behind.
 * Tracing programs attach to functions of the kernel, or of the program `attachTo`.
 * @throws KernelError, VerifierError, JitError, UnsupportedError
 */
export function loadObject(kernel: Kernel, resolved: ResolvedObject, attachTo?: AttachTo): LoadedObject {
  const undo: (() => void)[] = [];
  const unload = () => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    const maps = resolved.maps.map((blueprint) => {
      const map = createMap(kernel, blueprint, resolved.file.btf);
      kernel.maps.push(map);
      undo.push(() => {
        kernel.maps.splice(kernel.maps.indexOf(map), 1);
        map.free();
      });
      return map;
    });
    fillMapSlots(kernel, maps);
    const programs = resolved.programs
      .filter(({ autoload }) => autoload)
      .map((program) => loadProgram(kernel, program, maps, undo, attachTo));
    return { resolved, maps, programs, unload };
  } catch (error) {
    unload();
    throw error;
  }
}

function loadProgram(
  kernel: Kernel,
  program: ResolvedProgram,
  maps: BpfMap[],
  undo: (() => void)[],
  attachTo: AttachTo | undefined,
): LoadedProgram {
  if (program.type !== 'struct_ops' && program.type !== 'tracing')
    throw new UnsupportedError(`program type '${program.type}' is not modelled yet`, `program '${program.name}'`);
  if (program.type === 'struct_ops' && program.structOps === undefined)
    throw new VerifierError(
      'SEC("struct_ops") program is not referenced by any ops table',
      `program '${program.name}'`,
      'ESRCH',
    );
  const tracing = program.type === 'tracing' ? tracingTarget(kernel, program, attachTo) : undefined;
  for (const { insn, resolution } of program.core) {
    if (program.insns[insn]!.imm === POISON_CORE && program.insns[insn]!.code === CALL) {
      throw new VerifierError(
        `unresolvable CO-RE relocation ${resolution.local}: the target kernel has no such field or type`,
        `${program.name}: insn ${insn}`,
        'EINVAL',
      );
    }
  }
  // The instructions as the system call would get them; a map's index stands for its file descriptor.
  const insns = encodeForLoad(program, (map) => map);
  const ranges = checkStructure(program.name, insns);
  const proto = tracing === undefined ? memberProto(kernel, program) : tracing.btf === kernel.btf ? tracing.proto : 0;
  const loaded = placeProgram(kernel, program, prepare(kernel, program, insns, ranges, maps, proto), undo);
  return tracing === undefined ? loaded : { ...loaded, tracing };
}

/** The kernel's rewrites: addresses, calls, probes, inlined helpers, guarded divisions; then each function by itself. */
function prepare(
  kernel: Kernel,
  program: ResolvedProgram,
  insns: Insn[],
  ranges: FunctionRange[],
  maps: BpfMap[],
  proto: number,
): PreparedFunction[] {
  const mapRef = new Map(
    program.references.filter((r) => r.kind === 'map' || r.kind === 'map_value').map((r) => [r.insn, r.map]),
  );
  const kfuncs = new Map(program.references.filter((r) => r.kind === 'kfunc').map((r) => [r.insn, r]));
  const replacements: Replacement[] = [];
  const depths = ranges.map((range, index) => {
    const context = index === 0 ? { btf: kernel.btf, proto } : undefined;
    const flow = followTypes(program.name, insns, range, context, (at) => mapRef.get(at));
    for (let at = range.start; at < range.end; at++) {
      const insn = insns[at]!;
      const where = `${program.name}: insn ${at}`;
      if (insn.code === LD_IMM64) {
        settleAddress(kernel, program, insns, at, maps);
        at++;
      } else if (flow.probes.has(at)) insn.code = probing(insn.code);
      else if (insn.code === CALL && insn.src === 0) {
        const map = flow.mapAt.get(at);
        if (program.structOps?.member === 'release' && NOT_IN_RELEASE.includes(insn.imm))
          throw new VerifierError(
            `program of this type cannot use helper ${helperSymbol(insn.imm)}#${insn.imm}`,
            where,
          );
        const replacement = settleHelper(kernel, insn, at, map === undefined || map < 0 ? undefined : maps[map], where);
        if (replacement !== undefined) replacements.push(replacement);
      } else if (insn.code === CALL && insn.src === PSEUDO_KFUNC_CALL) settleKfunc(kernel, insn, kfuncs.get(at), where);
      else {
        const guard = guardDivision(at, insn) ?? extendExchange(at, insn);
        if (guard !== undefined) replacements.push(guard);
      }
    }
    return flow.stackDepth;
  });
  const { insns: final, moved } = applyReplacements(insns, replacements);
  return ranges.map((range, index) => {
    const start = moved[range.start]!;
    const end = moved[range.end]!;
    const origin = new Int32Array(end - start);
    for (let at = range.start; at < range.end; at++) origin.fill(at, moved[at]! - start, moved[at + 1]! - start);
    // Calls between functions name the callee by its first slot: the placer turns that into an address.
    const own = final.slice(start, end);
    own.forEach((insn, i) => {
      if ((insn.code === CALL && insn.src === PSEUDO_CALL) || (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC))
        insn.imm += start + i + 1;
    });
    const name = program.functions.find((fn) => fn.start === range.start)?.name ?? program.name;
    return { name, range: { start, end }, insns: own, origin, stackDepth: depths[index]! };
  });
}

/** The probing form of a load. */
function probing(code: number): number {
  return (code & 0x1f) | ((code & 0xe0) === MODE.MEMSX ? MODE.PROBE_MEMSX : MODE.PROBE_MEM);
}

function settleKfunc(
  kernel: Kernel,
  insn: Insn,
  kfunc: Extract<ProgramReference, { kind: 'kfunc' }> | undefined,
  where: string,
): void {
  if (kfunc?.btfId === undefined)
    throw new VerifierError('calling a kernel function that the target does not have', where, 'EINVAL');
  const symbol = kernel.symbols.find(kfunc.name);
  if (symbol === undefined) throw new UnsupportedError(`kfunc '${kfunc.name}' is not modelled`, where);
  Object.assign(insn, { src: 0, off: 0, imm: (symbol.start - kernel.jit.symbols.callBase) | 0 });
}

function memberProto(kernel: Kernel, program: ResolvedProgram): number {
  const { type, member } = program.structOps!;
  const field = kernel.btf.struct(type).members.find(({ name }) => name === member);
  const pointer = field === undefined ? undefined : kernel.btf.resolve(field.type);
  return pointer?.kind === 'ptr' ? kernel.btf.resolve(pointer.type).id : 0;
}

/** 64-bit loads get the addresses of maps, of values, and of kernel symbols. */
function settleAddress(kernel: Kernel, program: ResolvedProgram, insns: Insn[], at: number, maps: BpfMap[]): void {
  const insn = insns[at]!;
  const reference = program.references.find((candidate) => candidate.insn === at);
  if (reference === undefined || reference.kind === 'func') return;
  const set = (lo: number, hi: number) => {
    insn.src = 0;
    insn.imm = lo | 0;
    insns[at + 1]!.imm = hi | 0;
  };
  const where = `${program.name}: insn ${at}`;
  switch (reference.kind) {
    case 'map': {
      const { pointer } = maps[reference.map]!;
      set(pointer, kernel.memory.high(pointer));
      return;
    }
    case 'map_value': {
      const map = maps[reference.map]!;
      if (reference.offset < 0 || reference.offset >= map.blueprint.valueSize)
        throw new VerifierError(`direct value offset of ${reference.offset} is not allowed`, where, 'EINVAL');
      set(map.values + reference.offset, kernel.memory.high(map.values));
      return;
    }
    default: {
      const symbol = kernel.symbols.find(reference.name);
      if (symbol === undefined)
        throw new UnsupportedError(`kernel variable '${reference.name}' is not modelled`, where);
      set(symbol.start, kernel.memory.high(symbol.start));
    }
  }
}

/** A helper becomes a call relative to `__bpf_call_base`, a call of the map's own function, or inlined instructions. */
function settleHelper(
  kernel: Kernel,
  insn: Insn,
  at: number,
  map: BpfMap | undefined,
  where: string,
): Replacement | undefined {
  const id = insn.imm;
  const { callBase } = kernel.jit.symbols;
  const distance = (symbol: string) => (kernel.symbol(symbol) - callBase) | 0;
  const jiffies = kernel.symbol('jiffies');
  const replacement = inlineHelper(at, id, map === undefined ? undefined : { ...map.blueprint }, {
    arrayValues: kernel.target.offsets.bpfArrayPtrs,
    htabKey: kernel.field('htab_elem', 'key').offset,
    htabLookup: distance('__htab_map_lookup_elem'),
    cpuNumber: kernel.symbol('pcpu_hot') - kernel.percpuBase + 12,
    jiffies: { lo: jiffies, hi: kernel.memory.high(jiffies) },
  });
  if (replacement !== undefined) return replacement;
  const own = map === undefined ? undefined : mapOperation(id, map.blueprint.type);
  const symbol = own ?? helperSymbol(id);
  if (symbol === 'unknown') throw new VerifierError(`invalid func unknown#${id}`, where);
  if (kernel.symbols.find(symbol) === undefined)
    throw new UnsupportedError(`helper ${helperSymbol(id)}#${id} is not modelled`, where);
  insn.imm = distance(symbol);
  return undefined;
}

/** Places the functions, and makes `struct bpf_prog`. */
function placeProgram(
  kernel: Kernel,
  program: ResolvedProgram,
  prepared: PreparedFunction[],
  undo: (() => void)[],
): LoadedProgram {
  const { memory } = kernel;
  const functions = placeFunctions(kernel, prepared, undo);
  const pointer = kernel.vmalloc.alloc(kernel.btf.struct('bpf_prog').size, 4096);
  undo.push(() => kernel.vmalloc.free(pointer));
  memory.setPtr(pointer + kernel.target.offsets.bpfProgBpfFunc, functions[0]!.entry);
  memory.setU32(pointer + kernel.field('bpf_prog', 'len').offset, functions[0]!.insns.length);
  return {
    id: kernel.nextId(),
    name: program.name,
    resolved: program,
    pointer,
    bpfFunc: functions[0]!.entry,
    functions,
    verified: false,
  };
}
