import { toHex } from '../base/index.ts';
import { disassemble, type Insn } from '../bpf/index.ts';
import type { LoadedFunction, LoadedProgram } from '../kernel/index.ts';
import { listX86, type Symbolize } from '../x86/index.ts';
import { verificationLines, verificationOf } from './_verified.ts';
import { CliError } from './error.ts';
import { normalise, printDifferences, readDump } from './jit_compare.ts';
import { COMMON, parse } from './options.ts';
import { bold, cyan, dim, green, json, out } from './print.ts';
import {
  type CommonValues,
  chooseKernel,
  kernelHelp,
  openFor,
  readFile,
  type Session,
  startSession,
} from './session.ts';

export const JIT_USAGE = `usage: trampet jit OBJ PROGRAM [--cfi MODE] [--hex] [--compare DUMP] [--diff KERNEL|MODE] [--json]

C lines, BPF instructions and the x86-64 bytes that the kernel's JIT makes of them.
  --hex            only the bytes of each function
  --compare DUMP   against a kernel's: raw bytes ('bpftool prog dump jited … file DUMP') or JSON ('bpftool -j … opcodes');
                   distances of calls and kernel addresses do not count; exit code 1 if anything else differs
  --diff OTHER     against another kernel (6.12, 6.18, …) or CFI mode (off, kcfi, fineibt, or fineibt,paranoid)`;

/** `trampet jit`. */
export function jit(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    hex: { type: 'boolean', default: false },
    compare: { type: 'string' },
    diff: { type: 'string' },
  });
  if (values.help) {
    out(`${JIT_USAGE}\n${kernelHelp()}`);
    return 0;
  }
  const [path, name] = positionals;
  if (path === undefined || positionals.length > 2)
    throw new CliError('jit takes an object and a program', 'usage', JIT_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const session = startSession(openFor(path, choice), choice);
  const names = [...session.programs.keys()];
  const program =
    name === undefined && names.length === 1 ? session.programs.get(names[0]!) : session.programs.get(name ?? '');
  if (program === undefined)
    throw new CliError(`no program '${name ?? ''}' in this object (there are: ${names.join(', ') || 'none'})`);
  if (values.compare !== undefined) return compareWithDump(program, values.compare);
  if (values.diff !== undefined) return diffWith(path, program, { ...values }, values.diff);
  if (values.json) json(describe(session, program));
  else if (values.hex) for (const fn of program.functions) out(`${fn.name} ${toHex(fn.image.bytes)}`);
  else {
    out(`${bold(program.name)}  Linux ${session.kernel.target.release}, cfi ${session.kernel.target.features.cfi}`);
    for (const line of verificationLines(verificationOf([program]))) out(line);
    for (const fn of program.functions) printFunction(session, program, fn);
  }
  return 0;
}

/** Against what a kernel has: its bytes begin at bpf_func, behind the CFI preamble. */
function compareWithDump(program: LoadedProgram, path: string): number {
  const dumped = readDump(
    readFile(path),
    program.functions.map(({ image }) => image),
  );
  if (dumped.length !== program.functions.length)
    throw new CliError(`the dump has ${dumped.length} functions, the program ${program.functions.length}`, 'refused');
  out(dim(`- ${path}   + this kernel`));
  for (const line of verificationLines(verificationOf([program]))) out(line);
  const same = program.functions.map(({ name, image }, i) =>
    printDifferences(
      name,
      normalise(dumped[i]!.code, 0n),
      normalise(image.bytes.subarray(image.entryOffset), 0n),
      false,
    ),
  );
  return same.every(Boolean) ? 0 : 1;
}

/** Against the same program under another kernel or CFI mode. */
function diffWith(path: string, program: LoadedProgram, values: CommonValues, other: string): number {
  const isMode = /^(off|kcfi|fineibt)\b/.test(other);
  const choice = chooseKernel({ ...values, ...(isMode ? { cfi: other } : { kernel: other, btf: undefined }) });
  const { kernel, programs } = startSession(openFor(path, choice), choice);
  const theirs = programs.get(program.name);
  out(
    dim(
      `- Linux ${values.kernel}, cfi ${values.cfi}   + Linux ${kernel.target.release}, cfi ${isMode ? other : values.cfi}`,
    ),
  );
  program.functions.forEach(({ name, image }, i) => {
    const to = theirs?.functions[i]?.image;
    if (to !== undefined) printDifferences(name, normalise(image.bytes, 0n), normalise(to.bytes, 0n), true);
  });
  return 0;
}

function describe({ kernel }: Session, program: LoadedProgram): unknown {
  return {
    schema: 1,
    program: program.name,
    kernel: kernel.target.release,
    cfi: kernel.target.features.cfi,
    ...verificationOf([program]),
    functions: program.functions.map((fn) => ({
      name: fn.name,
      address: `0x${kernel.memory.address(fn.image.address).toString(16)}`,
      entryOffset: fn.image.entryOffset,
      stackDepth: fn.stackDepth,
      hex: toHex(fn.image.bytes),
      insns: fn.insns.map((_, i) => ({ text: textOf(kernel, fn.insns, i), end: fn.image.insnOffsets[i + 1] })),
      segments: fn.image.segments,
    })),
  };
}

function symbolizer({ kernel }: Pick<Session, 'kernel'>): Symbolize {
  return (address) => {
    const low = Number(address & 0xffffffffn);
    const symbol = kernel.symbols.at(low);
    if (symbol === undefined || address >> 32n !== BigInt(kernel.memory.high(low) >>> 0)) return undefined;
    return low === symbol.start ? symbol.name : undefined;
  };
}

/** A final instruction; calls and addresses by the symbol that they mean. */
function textOf(kernel: Session['kernel'], insns: readonly Insn[], index: number): string {
  return disassemble(insns, index, {
    call: (insn) => kernel.symbols.at((kernel.jit.symbols.callBase + insn.imm) >>> 0)?.name,
    imm64: (insn) => {
      const map = kernel.maps.find(
        ({ pointer, values, blueprint }) =>
          pointer === insn.imm >>> 0 ||
          (values !== 0 && insn.imm >>> 0 >= values && insn.imm >>> 0 < values + blueprint.valueSize),
      );
      if (map === undefined) return undefined;
      return map.pointer === insn.imm >>> 0 ? `map[${map.name}]` : `&${map.name}+${(insn.imm >>> 0) - map.values}`;
    },
  });
}

function printFunction(session: Session, program: LoadedProgram, fn: LoadedFunction): void {
  const { kernel } = session;
  const address = kernel.memory.address(fn.image.address);
  const symbolize = symbolizer(session);
  const lines = listX86(fn.image.bytes, address, symbolize);
  const code = (from: number, to: number, note: (offset: number) => string) => {
    for (const line of lines) {
      if (line.offset < from || line.offset >= to) continue;
      const at = (line.offset - fn.image.entryOffset)
        .toString(16)
        .replace(/^(-?)/, (sign) => (sign === '-' ? '-' : '+'));
      out(`      ${dim(at.padStart(5))}  ${dim(toHex(line.bytes).padEnd(22))}  ${line.text}${note(line.offset)}`);
    }
  };
  out(
    `\n${bold(fn.name)}  ${dim(`0x${address.toString(16)}, ${fn.image.bytes.length} bytes, stack ${fn.stackDepth}`)}`,
  );
  const start = fn.image.insnOffsets[0]!;
  code(0, start, (offset) => {
    const segment = fn.image.segments.find((candidate) => candidate.start === offset);
    return segment === undefined ? '' : green(`   ← ${segment.what}`);
  });
  let lastLine = '';
  let lastSlot = -1;
  for (let i = 0; i < fn.insns.length; i++) {
    const origin = fn.origin[i]!;
    const line = program.resolved.lines.findLast(({ insn }) => insn <= origin);
    const text = line === undefined ? '' : `${line.line}: ${line.text}`;
    if (text !== lastLine && text !== '') out(cyan(`  ; ${text}`));
    lastLine = text;
    const wide = fn.insns[i]!.code === 0x18;
    out(
      `  ${String(i).padStart(4)}  ${textOf(kernel, fn.insns, i)}${origin === lastSlot ? dim('   (rewritten)') : ''}`,
    );
    lastSlot = origin;
    const from = fn.image.insnOffsets[i]!;
    if (wide) i++;
    code(from, fn.image.insnOffsets[i + 1]!, () => '');
  }
}
