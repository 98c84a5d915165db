import type { GuestPtr } from '../machine/index.ts';
import type { ResolvedObject, ResolvedProgram } from '../object/index.ts';
import { type MapInfo, mapInfos, VerifierError } from '../verifier/index.ts';
import { type AttachTo, type TracingTarget, tracingTarget } from './attach.ts';
import { KernelError, UnsupportedError } from './error.ts';
import { acceptProgram, memberProto } from './judge.ts';
import type { Kernel } from './kernel.ts';
import { type BpfMap, createMap, fillMapSlots } from './maps.ts';
import { ProgramArrayMap, type ProgramKind } from './maps_prog.ts';
import { type LoadedFunction, placeFunctions } from './place.ts';

export interface LoadedProgram {
  id: number;
  name: string;
  resolved: ResolvedProgram;
  /** Address of `struct bpf_prog`. */
  pointer: GuestPtr;
  bpfFunc: GuestPtr;
  functions: LoadedFunction[];
  /** What it has in common with programs that it may call at its end. */
  kind: ProgramKind;
  /** What a tracing program attaches to. */
  tracing?: TracingTarget;
  /** The verifier accepted the program; otherwise its structure was checked, and `notVerified` says what is not modelled. */
  verified: boolean;
  notVerified?: string;
}

export interface LoadedObject {
  resolved: ResolvedObject;
  maps: BpfMap[];
  programs: LoadedProgram[];
  /** Frees maps and programs. */
  unload(): void;
}

/**
 * Loads an object: maps first, then every program that is to be loaded, verified. If anything is refused, nothing stays
 * behind. Tracing programs attach to functions of the kernel, or of the program `attachTo`.
 * @throws KernelError, VerifierError (a refusal has the verifier's errno and last line), JitError, UnsupportedError
 */
export function loadObject(kernel: Kernel, resolved: ResolvedObject, attachTo?: AttachTo): LoadedObject {
  return load(kernel, resolved, attachTo, false);
}

/**
 * Loads an object with programs of every type, of which those that nothing in this kernel calls can be called by hand, as
 * BPF_PROG_TEST_RUN does.
 * @throws as `loadObject`
 */
export function loadDetached(kernel: Kernel, resolved: ResolvedObject): LoadedObject {
  return load(kernel, resolved, undefined, true);
}

function load(
  kernel: Kernel,
  resolved: ResolvedObject,
  attachTo: AttachTo | undefined,
  detached: boolean,
): LoadedObject {
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
    const infos = mapInfos(resolved).map((info, i): MapInfo => {
      const { pointer, values } = maps[i]!;
      const at = (place: GuestPtr) => kernel.memory.address(place);
      return { ...info, address: at(pointer), ...(values === 0 ? {} : { valueAddress: at(values) }) };
    });
    const loading = { kernel, resolved, maps: infos, attachTo, detached };
    const programs = resolved.programs
      .filter(({ autoload }) => autoload)
      .map((program) => loadProgram(loading, maps, program, undo));
    fillProgramSlots(maps, programs);
    return { resolved, maps, programs, unload };
  } catch (error) {
    unload();
    throw error;
  }
}

/** What the programs of an object are loaded with. */
export interface Loading {
  kernel: Kernel;
  resolved: ResolvedObject;
  maps: MapInfo[];
  attachTo: AttachTo | undefined;
  /** Programs that nothing in this kernel calls are loaded too. */
  detached: boolean;
}

function loadProgram(
  loading: Loading,
  maps: readonly BpfMap[],
  program: ResolvedProgram,
  undo: (() => void)[],
): LoadedProgram {
  const { kernel, attachTo, detached } = loading;
  const where = `program '${program.name}'`;
  if (!detached && program.type !== 'struct_ops' && program.type !== 'tracing')
    throw new UnsupportedError(`program type '${program.type}' is not modelled yet`, where);
  if (program.type === 'struct_ops' && program.structOps === undefined)
    throw new VerifierError('SEC("struct_ops") program is not referenced by any ops table', where, 'ESRCH');
  const tracing = program.type === 'tracing' && !detached ? tracingTarget(kernel, program, attachTo) : undefined;
  const aux = kernel.heap.alloc(kernel.btf.struct('bpf_prog_aux').size);
  undo.push(() => kernel.heap.free(aux));
  const { functions, tailCalls, notVerified } = acceptProgram(loading, program, aux, tracing);
  const kind: ProgramKind = {
    type: program.type,
    attach: program.attach,
    proto: tracing?.proto ?? (program.structOps === undefined ? 0 : memberProto(kernel, program)),
  };
  for (const reference of program.references) {
    const map = reference.kind === 'map' ? maps[reference.map] : undefined;
    if (map instanceof ProgramArrayMap) map.admit(program.name, kind);
  }
  const placed = placeFunctions(kernel, functions, undo);
  for (const { insns, image } of placed)
    for (const poke of image.pokes) {
      const { map: info, key } = tailCalls[insns[poke.insn]!.imm - 1]!;
      const map = maps[loading.maps.indexOf(info)];
      if (map instanceof ProgramArrayMap) undo.push(map.addSite(image, poke, key));
    }
  return {
    ...placeProgram(kernel, program, aux, placed, undo),
    kind,
    verified: notVerified === undefined,
    ...(notVerified === undefined ? {} : { notVerified }),
    ...(tracing === undefined ? {} : { tracing }),
  };
}

/** Puts programs into program arrays, as libbpf does after all are loaded. @throws KernelError */
function fillProgramSlots(maps: readonly BpfMap[], programs: readonly LoadedProgram[]): void {
  for (const map of maps) {
    if (!(map instanceof ProgramArrayMap)) continue;
    for (const { index, name } of map.blueprint.slots) {
      const program = programs.find((candidate) => candidate.name === name);
      if (program === undefined)
        throw new KernelError(`program '${name}' is not loaded`, 'EBADF', `map '${map.name}'[${index}]`);
      map.setProgram(index, program);
    }
  }
}

/** Makes `struct bpf_prog`. */
function placeProgram(
  kernel: Kernel,
  program: ResolvedProgram,
  aux: GuestPtr,
  functions: LoadedFunction[],
  undo: (() => void)[],
): Omit<LoadedProgram, 'verified' | 'kind'> {
  const { memory } = kernel;
  const pointer = kernel.vmalloc.alloc(kernel.btf.struct('bpf_prog').size, 4096);
  undo.push(() => kernel.vmalloc.free(pointer));
  memory.setPtr(pointer + kernel.target.offsets.bpfProgBpfFunc, functions[0]!.entry);
  memory.setPtr(pointer + kernel.field('bpf_prog', 'aux').offset, aux);
  memory.setU32(pointer + kernel.field('bpf_prog', 'len').offset, functions[0]!.insns.length);
  return {
    id: kernel.nextId(),
    name: program.name,
    resolved: program,
    pointer,
    bpfFunc: functions[0]!.entry,
    functions,
  };
}
