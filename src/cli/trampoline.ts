import { hex32, toHex } from '../base/index.ts';
import { formatDecl } from '../btf/index.ts';
import { buildTrampoline } from '../kernel/index.ts';
import { formOf } from '../target/index.ts';
import { listX86 } from '../x86/index.ts';
import { verificationLines, verificationOf } from './_verified.ts';
import { CliError } from './error.ts';
import { faultsFor, memberRegisters, printFaults, printMismatches } from './faults.ts';
import { COMMON, parse } from './options.ts';
import { bold, cyan, dim, green, json, out } from './print.ts';
import { chooseKernel, kernelHelp, openFor, pickTable, splitMember, startSession } from './session.ts';

export const TRAMPOLINE_USAGE = `usage: trampet trampoline OBJ TABLE.MEMBER [--cfi MODE] [--json]

The trampoline that the kernel puts into the ops table: preamble with the stub's hash, stack frame, body, annotated.`;

/** Where our knowledge of a form comes from. */
const FORM_TEXT = {
  seen: 'form seen: compared with the memory of a running kernel',
  'from source': 'form from source: not compared with a running kernel',
} as const;

/** `trampet trampoline`. */
export function trampoline(args: string[]): number {
  const { values, positionals } = parse(args, COMMON);
  if (values.help) {
    out(`${TRAMPOLINE_USAGE}\n${kernelHelp()}`);
    return 0;
  }
  const [path, which] = positionals;
  if (path === undefined || which === undefined || positionals.length > 2)
    throw new CliError('trampoline takes an object and TABLE.MEMBER', 'usage', TRAMPOLINE_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const { kernel, resolved, programs } = startSession(openFor(path, choice), choice);
  const { table, member } = splitMember(which);
  const ops = pickTable(resolved.structOps, table);
  const program = programs.get(ops.programs.find((candidate) => candidate.member === member)?.program ?? '');
  if (program === undefined)
    throw new CliError(
      `${ops.name} has no program for '${member}' (it has: ${ops.programs.map((entry) => entry.member).join(', ')})`,
    );
  const stub = kernel.structOps.get(ops.type)?.stubs[member];
  if (stub === undefined)
    throw new CliError(`member ${ops.type}.${member} has no stub: BPF cannot implement it`, 'refused');
  const field = kernel.btf.struct(ops.type).members.find(({ name }) => name === member)!;
  const pointer = kernel.btf.resolve(field.type);
  const proto = pointer.kind === 'ptr' ? kernel.btf.resolve(pointer.type).id : 0;
  const { trampoline: image, hash } = buildTrampoline(kernel, program, proto, kernel.symbol(stub), () =>
    kernel.images.alloc(4096, 4096),
  );
  const address = kernel.memory.address(image.address);
  const prototype = formatDecl(kernel.btf, field.type, member);
  const cfi = kernel.target.features.cfi;
  const kernelFaults = faultsFor(kernel.target, [memberRegisters(kernel.btf, ops.type, member)]);
  const computed = kernel.typeId(proto);
  const typeId = computed === undefined ? null : hex32(computed);
  if (values.json) {
    json({
      schema: 1,
      table: ops.name,
      member,
      program: program.name,
      ...verificationOf([program]),
      prototype,
      kernel: kernel.target.release,
      cfi,
      stub,
      hash: cfi === 'off' ? null : hex32(hash),
      typeId,
      form: formOf(kernel.target),
      kernelFaults,
      address: `0x${address.toString(16)}`,
      entryOffset: image.entryOffset,
      hex: toHex(image.bytes),
      frame: image.frame,
      segments: image.segments,
    });
    return 0;
  }
  out(`${bold(`${ops.name}.${member}`)}  ${prototype}`);
  out(
    dim(
      `Linux ${kernel.target.release}, cfi ${cfi} · stub ${stub}${cfi === 'off' ? '' : ` · hash ${hex32(hash)}`} · program ${program.name} · ${FORM_TEXT[formOf(kernel.target)]}`,
    ),
  );
  for (const line of verificationLines(verificationOf([program]))) out(line);
  printFaults(kernelFaults);
  printMismatches([{ member, hash: hex32(hash), typeId }]);
  out(`\n${bold('frame')}  ${dim(`${image.frame.size} bytes below rbp`)}`);
  for (const { offset, what } of image.frame.slots)
    out(`  rbp${offset < 0 ? '-' : '+'}0x${Math.abs(offset).toString(16).padStart(2, '0')}  ${what}`);
  out();
  let shown = '';
  for (const line of listX86(image.bytes, address, (target) => kernel.symbols.at(Number(target & 0xffffffffn))?.name)) {
    const segment = image.segments.find(({ start, end }) => line.offset >= start && line.offset < end);
    if (segment !== undefined && segment.what !== shown) {
      shown = segment.what;
      out(green(`  ; ${shown}`));
    }
    const at = line.offset - image.entryOffset;
    const text = `${at < 0 ? '-' : '+'}${Math.abs(at).toString(16).padStart(2, '0')}`;
    out(
      `  ${dim(text.padStart(5))}  ${dim(toHex(line.bytes).padEnd(22))}  ${line.text}${at === 0 ? cyan('   ← the table points here') : ''}`,
    );
  }
  return 0;
}
