import { TrampetError, toHex } from '../base/index.ts';
import { LD_IMM64 } from '../bpf/index.ts';
import { type Btf, readBtf } from '../btf/index.ts';
import { GuestFault, type GuestPtr, MachineError } from '../machine/index.ts';
import { openObject, type ResolvedObject, resolveObject } from '../object/index.ts';
import type { Golden } from './_golden.ts';
import { UnsupportedReplay } from './error.ts';
import { constantsOf, Replay } from './replay.ts';
import { callAllOps, type KernelFunctions, kernelFunctions, runTracing } from './replay_kernel.ts';
import type { OracleDirectory, Outcome } from './types.ts';

/** What the recorder did not write down, in the ways that it is tried: random numbers, and the packet behind its first byte. */
const VARIANTS = [1, 2, 3, 4, 5, 6].map((seed) => ({ seed, filler: seed % 2 === 0 ? 0 : 0x5a }));
const REPLAYED = new Set(['sched_cls', 'xdp', 'socket_filter']);
const FLOW = 'a TCP flow in the real time of the machine that recorded it';

/** Executes the recorded images of an object, line by line as the recorder ran them. */
export function* replayLines(
  directory: OracleDirectory,
  golden: Golden,
  object: string,
  lines: readonly string[],
  mode: string,
): Generator<Outcome> {
  const kernel = kernelFunctions(directory, mode, golden);
  const refused = whyNot(lines);
  const variants =
    refused === undefined ? VARIANTS.map((variant) => start(directory, golden, object, variant, kernel)) : [];
  let unplayed: string | undefined;
  for (const line of lines) {
    const name = line.split(' ').slice(0, 2).join(' ');
    const why = line.startsWith('FLOW') ? FLOW : refused;
    if (why !== undefined) {
      unplayed ??= why;
      yield { name, status: 'unsupported', why };
      continue;
    }
    const got = variants.map((variant) => play(variant, line));
    const failed = got.find((answer) => answer.why !== undefined);
    if (got.some((answer) => answer.text === line)) yield { name, status: 'passed' };
    else if (failed?.why !== undefined) {
      unplayed ??= failed.why;
      yield { name, status: 'unsupported', why: failed.why };
    } else if (line.startsWith('GLOBALS') && unplayed !== undefined)
      yield { name, status: 'unsupported', why: `follows a line that is not replayed: ${unplayed}` };
    else if (new Set(got.map(({ text }) => text)).size > 1)
      yield { name, status: 'unsupported', why: 'depends on random numbers or packet bytes that are not recorded' };
    else yield { name, status: 'failed', at: '-', want: line, got: got[0]!.text ?? '' };
  }
}

/** Why none of the object's lines can be replayed. */
function whyNot(lines: readonly string[]): string | undefined {
  if (lines.some((line) => line.startsWith('FLOW')))
    return 'follows a TCP flow in the real time of the machine that recorded it';
  if (lines.some((line) => /^RUN attach_filter/.test(line)))
    return 'says that a filter was attached; nothing was executed';
  if (lines.some((line) => line.startsWith('RUN skipped'))) return 'skipped by the recorder: the kernel would trap';
  return undefined;
}

interface Variant {
  replay: Replay;
  /** Addresses of the global data by map name. */
  globals: ReadonlyMap<string, { address: GuestPtr; size: number }>;
  kernel: KernelFunctions;
}

function start(
  directory: OracleDirectory,
  golden: Golden,
  object: string,
  { seed, filler }: (typeof VARIANTS)[number],
  kernel: KernelFunctions,
): Variant | string {
  try {
    const btf = btfOf(directory);
    const replay = new Replay({ golden, btf, seed, filler, kernel });
    const resolved = resolveObject(openObject(directory.object(object), `${object}.bpf.o`), {
      btf,
      release: golden.version,
    });
    const globals = placeMaps(replay, resolved);
    replay.checkTailCalls();
    if (golden.programs?.some(({ type }) => type === 'struct_ops')) callAllOps(replay, kernel, resolved);
    return { replay, globals, kernel };
  } catch (error) {
    if (error instanceof TrampetError && error.kind === 'unsupported') return error.message;
    throw error;
  }
}

const btfs = new Map<string, Btf>();
function btfOf(directory: OracleDirectory): Btf {
  let btf = btfs.get(directory.path);
  if (btf === undefined) {
    btf = readBtf(directory.btf);
    btfs.set(directory.path, btf);
  }
  return btf;
}

/**
 * Finds the global data and program arrays: the constants of the final instructions stand in the order of the object's,
 * where the same one names the map. Both are filled in as the object has them.
 */
function placeMaps(replay: Replay, resolved: ResolvedObject): Variant['globals'] {
  const globals = new Map<string, { address: GuestPtr; size: number }>();
  for (const golden of replay.golden.programs ?? []) {
    const program = resolved.programs.find(({ name }) => name === golden.name);
    if (program === undefined) continue;
    const slots = program.insns.flatMap((insn, i) => (insn.code === LD_IMM64 ? [i] : []));
    const constants = golden.subprogs.flatMap(constantsOf);
    if (slots.length !== constants.length) continue;
    slots.forEach((slot, i) => {
      const reference = program.references.find(({ insn }) => insn === slot);
      if (reference?.kind === 'map') {
        const { slots: filled, inner } = resolved.maps[reference.map]!;
        if (inner === undefined) replay.fillProgramArray(Number(constants[i]! & 0xffffffffn), filled);
      }
      if (reference?.kind !== 'map_value') return;
      const map = resolved.maps[reference.map]!;
      const address = Number((constants[i]! - BigInt(reference.offset)) & 0xffffffffn);
      if (globals.has(map.name)) return;
      globals.set(map.name, { address, size: map.valueSize });
      if (map.initial !== undefined) replay.memory.bytes(address, map.initial.length).set(map.initial);
    });
  }
  return globals;
}

function play(variant: Variant | string, line: string): { text?: string; why?: string } {
  if (typeof variant === 'string') return { why: variant };
  try {
    return playLine(variant, line);
  } catch (error) {
    if (error instanceof UnsupportedReplay) return { why: error.message };
    if (error instanceof MachineError || (error instanceof GuestFault && error.fault.vector === '#PF'))
      return { why: 'reads kernel data that is not recorded' };
    throw error;
  }
}

function playLine({ replay, globals, kernel }: Variant, line: string): { text?: string; why?: string } {
  const [kind, name = ''] = line.split(' ');
  if (kind === 'TRIG') {
    return { text: kernel.trigger(replay) };
  }
  if (kind === 'GLOBALS') {
    const place = globals.get(name);
    return place === undefined
      ? { why: 'the address of this data is not recorded' }
      : { text: `GLOBALS ${name} ${toHex(replay.memory.bytes(place.address, place.size))}` };
  }
  const program = replay.golden.programs?.find((candidate) => candidate.name === name);
  const tracing = program?.type === 'tracing';
  if (program === undefined || !(tracing || REPLAYED.has(program.type)))
    return { why: `test runs of ${program?.type ?? 'unknown'} programs are not replayed` };
  const result = tracing ? runTracing(replay, program.expectedAttach ?? '') : replay.run(name);
  return { text: `RUN ${name} err=0 retval=${result}` };
}
