import { type Btf, readBtf } from '../btf/index.ts';
import { funcModel, TRAMP_F } from '../jit/index.ts';
import { structOffsets } from '../target/index.ts';
import type { Golden, GoldenProgram, GoldenSubprogram, GoldenTrampoline } from './_golden.ts';
import type { OracleDirectory } from './types.ts';

// Goldens of a running kernel without CFI (`golden/*.json`, no modes) have a layout of their own. What they say of images and
// trampolines is brought into the other one here, so that the checkers know a single form.

interface FlatGolden {
  kernel: string;
  symbols: Record<string, string>;
  programs: FlatProgram[];
  attach?: { struct_ops?: { dump?: FlatDump }[]; progs?: FlatProgram[] };
}
interface FlatProgram {
  name: string;
  type_name?: string;
  kprogs?: FlatFunction[];
  jit?: { addr: string; relocs: { off: number; kind: string; value?: string; text?: string }[] }[];
}
interface FlatFunction {
  label: string;
  bpf_func: string;
  stack_depth: number;
  tail_call_reachable: number;
  exception_cb: number;
  exception_boundary: number;
  priv_stack_ptr: string;
  arena: string;
  extable_addr?: string;
  extableHex?: string;
  insnsiHex: string;
  imageHex: string;
}
interface FlatDump {
  trampolines: { ksym: string; start: string; len: number; imageHex: string }[];
  links: { prog: string; bpf_func: string }[];
}

/** What that kernel's configuration and CPU make of the JIT's choices; config.txt beside the goldens says so. */
const FEATURES = {
  cfi: 'off',
  ibt: false,
  callPadding: 11,
  retpoline: true,
  retpolineLfence: false,
  retpolineConfig: true,
  rethunk: true,
  its: false,
  callDepth: false,
  sls: false,
  bmi2: true,
  clearBhbLoop: false,
};
/** BPF_INSN_SAFETY: stale bytes behind a trampoline's code. */
const SAFETY = 64;
const MOVABS_R12 = '49bc';

export const isFlat = (golden: object): boolean => 'symbols' in golden;

const btfs = new Map<string, Btf>();

/** The golden in the form of those with modes. */
export function fromFlat(raw: object, directory: OracleDirectory): Golden {
  const flat = raw as FlatGolden;
  let btf = btfs.get(directory.path);
  if (btf === undefined) {
    btf = readBtf(directory.btf);
    btfs.set(directory.path, btf);
  }
  const offsets = structOffsets(btf);
  const programs = [...flat.programs, ...(flat.attach?.progs ?? [])];
  const kallsyms = kernelSymbols(directory);
  return {
    version: flat.kernel,
    features: { ...FEATURES },
    kernelSymbols: {
      ...flat.symbols,
      bpfCallBase: flat.symbols['__bpf_call_base']!,
      returnThunk: flat.symbols['its_return_thunk']!,
      __x86_indirect_thunk_array: kallsyms.get('__x86_indirect_thunk_array') ?? '0x0',
      clear_bhb_loop: kallsyms.get('clear_bhb_loop') ?? '0x0',
      thisCpuOff: thisCpuOff(programs) ?? '0x0',
      callDepthVar: '0x0',
    },
    structOffsets: {
      off_max_entries: offsets.bpfArrayMaxEntries,
      off_ptrs: offsets.bpfArrayPtrs,
      off_bpf_func: offsets.bpfProgBpfFunc,
      off_insnsi: offsets.bpfProgInsnsi,
      sizeof_run_ctx: offsets.trampRunCtxSize,
      off_cookie: offsets.trampRunCtxCookie,
      vsyscallAddr: '0xffffffffff600000',
      taskSizeMax: '0x7ffffffff000',
    },
    programs: programs.map((program) => fromProgram(program)),
    trampolines: (flat.attach?.struct_ops ?? []).flatMap(({ dump }) =>
      dump === undefined ? [] : fromDump(dump, btf, flat),
    ),
  };
}

const symbols = new Map<string, Map<string, string>>();

function kernelSymbols(directory: OracleDirectory): Map<string, string> {
  let known = symbols.get(directory.path);
  if (known === undefined) {
    known = new Map();
    const text = new TextDecoder().decode(directory.file('kallsyms-6.18.txt.gz') ?? new Uint8Array(0));
    for (const line of text.split('\n')) {
      const [address, , name] = line.split(/\s+/);
      if (name !== undefined) known.set(name, `0x${address}`);
    }
    symbols.set(directory.path, known);
  }
  return known;
}

/** The per-CPU variable is not among the symbols; the recorded operands of private stacks name it. */
function thisCpuOff(programs: readonly FlatProgram[]): string | undefined {
  for (const { jit } of programs)
    for (const { relocs } of jit ?? [])
      for (const { kind, text } of relocs) {
        const match = kind === 'gs' ? /add\s+%gs:(0x[0-9a-f]+)/.exec(text ?? '') : null;
        if (match !== null) return match[1];
      }
  return undefined;
}

function fromProgram({ name, type_name, kprogs }: FlatProgram): GoldenProgram {
  // With subprograms `main` repeats the first of them, instructions of the whole program included.
  const parts = (kprogs ?? []).filter(({ label }, _, all) => label !== 'main' || all.length === 1);
  return {
    name,
    type: type_name ?? '',
    subprogs: parts.map((part, index): GoldenSubprogram => {
      const userHigh = part.arena === '0x0' ? undefined : arenaUserHigh(part.imageHex);
      return {
        name: parts.length === 1 ? name : `${name}/${part.label}`,
        image: part.bpf_func,
        entryOffset: 0,
        hex: part.imageHex,
        jitInsnsHex: part.insnsiHex,
        insnOffsets: [],
        stackDepth: part.stack_depth,
        funcIdx: index,
        tailCallReachable: part.tail_call_reachable === 1,
        exceptionCb: part.exception_cb === 1,
        exceptionBoundary: part.exception_boundary === 1,
        fromCbpf: false,
        ...(part.extableHex === undefined ? {} : { extable: { addr: part.extable_addr ?? '', hex: part.extableHex } }),
        livePokes: true,
        privStack: part.priv_stack_ptr !== '0x0',
        privStackPtr: part.priv_stack_ptr,
        ...(part.arena === '0x0' ? {} : { arenaKernel: arenaKernel(part.imageHex), arenaUserHigh: userHigh ?? 0 }),
      };
    }),
  };
}

/** Where the arena lies is not recorded apart from the image: r12's constant, and the `or` of an address cast. */
function arenaKernel(hex: string): string {
  const at = hex.indexOf(MOVABS_R12) + MOVABS_R12.length;
  return `0x${(hex.slice(at, at + 16).match(/../g) ?? []).reverse().join('')}`;
}
function arenaUserHigh(hex: string): number | undefined {
  const match = /(?:48c1e[0-7]20480d|4[89]c1e[0-7]204[89]81c[89a-f])([0-9a-f]{8})/.exec(hex);
  return match === null ? undefined : Number(`0x${match[1]!.match(/../g)!.reverse().join('')}`);
}

function fromDump(dump: FlatDump, btf: Btf, { symbols: named }: FlatGolden): GoldenTrampoline[] {
  const links = dump.links.filter(({ prog }) => prog !== '0x0');
  return dump.trampolines.map(({ ksym, start, len, imageHex }, i) => {
    const model = memberModel(btf, ksym);
    const link = links[i]!;
    const codeLen = len - SAFETY;
    const calls = (symbol: string) => callsTo(imageHex, BigInt(start), BigInt(named[symbol]!));
    const suffix = calls('__bpf_prog_enter_sleepable') ? '_sleepable' : '';
    return {
      symbol: ksym,
      addr: start,
      hex: imageHex.slice(0, 2 * codeLen),
      codeLen,
      allocLen: len,
      flags: String(TRAMP_F.INDIRECT | (model.returnSize > 0 ? TRAMP_F.RET_FENTRY_RET : 0)),
      target: '',
      targetAddr: '0x0',
      im: '0x0',
      model: {
        nrArgs: model.argSizes.length,
        argSizes: model.argSizes,
        argFlags: model.argFlags,
        retSize: model.returnSize,
        retFlags: model.returnFlags,
      },
      links: [
        {
          kind: 'struct_ops',
          cookie: '0x0',
          progPtr: link.prog,
          bpfFunc: link.bpf_func,
          enter: `__bpf_prog_enter${suffix}`,
          exit: `__bpf_prog_exit${suffix}`,
        },
      ],
    };
  });
}

function memberModel(btf: Btf, ksym: string): ReturnType<typeof funcModel> {
  const rest = ksym.replace(/^bpf__/, '');
  for (let at = rest.lastIndexOf('_'); at > 0; at = rest.lastIndexOf('_', at - 1)) {
    if (btf.find(rest.slice(0, at), 'struct') === undefined) continue;
    const member = btf.struct(rest.slice(0, at)).members.find(({ name }) => name === rest.slice(at + 1));
    const pointer = member === undefined ? undefined : btf.resolve(member.type);
    if (pointer?.kind === 'ptr') return funcModel(btf, btf.resolve(pointer.type).id);
  }
  throw new TypeError(`no ops member behind the symbol ${ksym}`);
}

/** Whether the code holds a direct call to `target`. */
function callsTo(hex: string, start: bigint, target: bigint): boolean {
  for (let at = hex.indexOf('e8'); at >= 0; at = hex.indexOf('e8', at + 1)) {
    if (at % 2 === 1) continue;
    const bytes = hex.slice(at + 2, at + 10).match(/../g);
    if (bytes?.length !== 4) return false;
    const distance = BigInt.asIntN(32, BigInt(`0x${bytes.reverse().join('')}`));
    if (start + BigInt(at / 2 + 5) + distance === target) return true;
  }
  return false;
}
