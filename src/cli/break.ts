import { type Argument, BREAK_WAYS, type BreakCell, breakMember, type Kernel } from '../kernel/index.ts';
import { CliError } from './error.ts';
import { COMMON, oneOf, parse } from './options.ts';
import { bold, cyan, dim, green, json, out, red, table } from './print.ts';
import { CFI_MODES, chooseKernel, openFor, pickTable, registerTables, splitMember, startSession } from './session.ts';

export const BREAK_USAGE = `usage: trampet break OBJ TABLE.MEMBER [--how WAY] [--json]

Calls a member wrongly on purpose, by executing it, in each CFI mode: what traps, where, and what the kernel reports.
  --how   ${BREAK_WAYS.join(' | ')} (default: all)
  Exit code 0 whatever traps: the matrix is the answer.`;

/** `trampet break`. */
export function breakCommand(args: string[]): number {
  const { values, positionals } = parse(args, { ...COMMON, how: { type: 'string' } });
  if (values.help) {
    out(BREAK_USAGE);
    return 0;
  }
  const [path, which] = positionals;
  if (path === undefined || which === undefined || positionals.length > 2)
    throw new CliError('break takes an object and TABLE.MEMBER', 'usage', BREAK_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const resolved = openFor(path, choice);
  const ways = values.how === undefined ? BREAK_WAYS : [oneOf('how', values.how, BREAK_WAYS)];
  const { table: tableName, member } = splitMember(which);
  const matrix = CFI_MODES.map((cfi) => ({
    cfi,
    cells: ways.map((way) => {
      // A fresh kernel for each: a guest that died is not called again.
      const session = startSession(resolved, choice, cfi);
      const maps = registerTables(session);
      const map = pickTable(maps, tableName);
      if (!map.members.some((candidate) => candidate.member === member))
        throw new CliError(
          `${map.name} has no program for '${member}' (it has: ${map.members.map((entry) => entry.member).join(', ')})`,
        );
      return breakMember(session.kernel, map, member, way, argumentsFor(session.kernel, map.type, member));
    }),
  }));
  if (values.json) {
    json({
      schema: 1,
      object: resolved.file.name,
      member: which,
      modes: matrix.map(({ cfi, cells }) => ({
        cfi,
        cells: cells.map(({ report, ...cell }) => ({ ...cell, report: report ?? null })),
      })),
    });
    return 0;
  }
  printMatrix(which, ways, matrix);
  return 0;
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

function printMatrix(
  which: string,
  ways: readonly string[],
  matrix: readonly { cfi: string; cells: BreakCell[] }[],
): void {
  out(`${bold(which)}  ${dim('called wrongly, each time in a fresh kernel with IBT on')}\n`);
  const rows = ways.map((way, i) => [`  ${cyan(way)}`, ...matrix.map(({ cells }) => summary(cells[i]!))]);
  for (const line of table([['', ...matrix.map(({ cfi }) => bold(cfi))], ...rows])) out(line);
  for (const { cfi, cells } of matrix) {
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
