import { type Argument, BREAK_WAYS, type BreakCell, type BreakWay, breakMember, type Kernel } from '../kernel/index.ts';
import { CliError } from './error.ts';
import { COMMON, oneOf, parse } from './options.ts';
import { bold, cyan, dim, green, json, out, red, table } from './print.ts';
import {
  CFI_MODES,
  chooseKernel,
  type KernelChoice,
  kernelHelp,
  openFor,
  pickTable,
  registerTables,
  splitMember,
  startSession,
} from './session.ts';

export const BREAK_USAGE = `usage: trampet break OBJ TABLE.MEMBER [--how WAY] [--all-kernels] [--json]

Calls a member wrongly on purpose, by executing it, in each CFI mode: what traps, where, and what the kernel reports.
  --how           ${BREAK_WAYS.join(' | ')} (default: all)
  --all-kernels   one matrix for each bundled kernel
  Exit code 0 whatever traps: the matrix is the answer.`;

/** `trampet break`. */
export function breakCommand(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    how: { type: 'string' },
    'all-kernels': { type: 'boolean', default: false },
  });
  if (values.help) {
    out(`${BREAK_USAGE}\n${kernelHelp()}`);
    return 0;
  }
  const [path, which] = positionals;
  if (path === undefined || which === undefined || positionals.length > 2)
    throw new CliError('break takes an object and TABLE.MEMBER', 'usage', BREAK_USAGE.split('\n')[0]!);
  const ways = values.how === undefined ? BREAK_WAYS : [oneOf('how', values.how, BREAK_WAYS)];
  const kernels = values['all-kernels'] ? ['6.12', '6.18', '6.18+hashfix'] : [values.kernel];
  const matrices = kernels.map((kernel) => breakAll(path, which, ways, chooseKernel({ ...values, kernel })));
  if (values.json) {
    const documents = matrices.map(({ columns, ...rest }) => ({
      schema: 1,
      ...rest,
      modes: columns.map(({ cfi, cells }) => ({
        cfi,
        cells: cells.map(({ report, ...cell }) => ({ ...cell, report: report ?? null })),
      })),
    }));
    json(documents.length === 1 ? documents[0] : { schema: 1, kernels: documents });
    return 0;
  }
  out(`${bold(which)}  ${dim('called wrongly, each time in a fresh kernel with IBT on')}`);
  for (const matrix of matrices) printMatrix(ways, matrix);
  return 0;
}

interface Matrix {
  object: string;
  member: string;
  kernel: string;
  columns: { cfi: string; cells: BreakCell[] }[];
}

function breakAll(path: string, which: string, ways: readonly BreakWay[], choice: KernelChoice): Matrix {
  const resolved = openFor(path, choice);
  const { table: tableName, member } = splitMember(which);
  const paranoid =
    choice.era.fineibtParanoid === undefined ? [] : [{ label: 'fineibt,paranoid', cfi: 'fineibt' as const }];
  const columns = [...CFI_MODES.map((cfi) => ({ label: cfi as string, cfi })), ...paranoid].map(({ label, cfi }) => ({
    cfi: label,
    cells: ways.map((way) => {
      // A fresh kernel for each: a guest that died is not called again.
      const features = { ...choice.features, cfiParanoid: label !== cfi };
      const session = startSession(resolved, { ...choice, features }, cfi);
      const map = pickTable(registerTables(session), tableName);
      if (!map.members.some((candidate) => candidate.member === member))
        throw new CliError(
          `${map.name} has no program for '${member}' (it has: ${map.members.map((entry) => entry.member).join(', ')})`,
        );
      return breakMember(session.kernel, map, member, way, argumentsFor(session.kernel, map.type, member));
    }),
  }));
  return { object: resolved.file.name, member: which, kernel: choice.era.release, columns };
}

/** Arguments of the prototype's types: structs of zeroes, and ones. */
function argumentsFor(kernel: Kernel, type: string, member: string): Argument[] {
  const pointer = kernel.btf.resolve(kernel.field(type, member).type);
  const proto = pointer.kind === 'ptr' ? kernel.btf.resolve(pointer.type) : undefined;
  if (proto?.kind !== 'func_proto') throw new CliError(`${type}.${member} is no function`);
  return proto.params.map((param) => {
    const target = kernel.btf.resolve(param.type);
    if (target.kind !== 'ptr') return 1;
    const struct = kernel.btf.resolve(target.type);
    const size =
      struct.kind === 'struct'
        ? kernel.btf.sizeOf(struct.name === 'sock' ? kernel.btf.struct('tcp_sock').id : struct.id)
        : 64;
    return { ptr: kernel.heap.alloc(size) };
  });
}

function printMatrix(ways: readonly string[], { kernel, columns }: Matrix): void {
  out(`\n${bold(`Linux ${kernel}`)}`);
  const rows = ways.map((way, i) => [`  ${cyan(way)}`, ...columns.map(({ cells }) => summary(cells[i]!))]);
  for (const line of table([['', ...columns.map(({ cfi }) => bold(cfi))], ...rows])) out(line);
  for (const { cfi, cells } of columns) {
    for (const { way, report } of cells) {
      if (report === undefined) continue;
      out(`\n${cyan(way)}, cfi ${bold(cfi)}`);
      for (const line of report.lines.slice(0, 4)) out(`  ${line}`);
    }
  }
}

function summary({ trapped, report }: BreakCell): string {
  if (!trapped || report === undefined) return red('runs: nothing notices');
  return green(`${report.kind} at ${report.where.replace(/\/0x[0-9a-f]+$/, '')}`);
}
