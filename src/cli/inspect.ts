import { hex32 } from '../base/index.ts';
import { MAP_TYPES } from '../bpf/index.ts';
import { formatDecl, formatType, kcfiHash } from '../btf/index.ts';
import type { MapBlueprint, ResolvedObject, ResolvedProgram } from '../object/index.ts';
import type { KernelFault } from '../target/index.ts';
import { judgeProgram, mapInfos, verifierInput } from '../verifier/index.ts';
import { CliError } from './error.ts';
import { faultsForObject, printFaults } from './faults.ts';
import { COMMON, parse } from './options.ts';
import { bold, cyan, dim, green, json, out, red, table, yellow } from './print.ts';
import { chooseKernel, kernelHelp, openFor, targetFor } from './session.ts';

export const INSPECT_USAGE = `usage: trampet inspect OBJ [--core] [--btf FILE] [--json]

Ops tables with their members, programs with the verifier's verdict, maps, externs, and how CO-RE relocations come out against the target.
  --core   every CO-RE relocation with its local and target path`;

/** `trampet inspect`. */
export function inspect(args: string[]): number {
  const { values, positionals } = parse(args, { ...COMMON, core: { type: 'boolean', default: false } });
  if (values.help) {
    out(`${INSPECT_USAGE}\n${kernelHelp()}`);
    return 0;
  }
  const path = positionals[0];
  if (path === undefined || positionals.length > 1)
    throw new CliError('inspect takes one object', 'usage', INSPECT_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const object = openFor(path, choice);
  const faults = faultsForObject(targetFor(choice), object);
  if (values.json) json(describe(object, faults));
  else {
    print(object, values.core);
    printFaults(faults);
  }
  return 0;
}

/** What the verifier of Linux 6.18 says of a program, as --json prints it; `unknown` says what is not modelled. */
type Verdict =
  | { kind: 'accepted' }
  | { kind: 'refused'; errno: string; reason: string }
  | { kind: 'unknown'; why: string };

function judge(object: ResolvedObject, program: ResolvedProgram): Verdict {
  const judgement = judgeProgram(() => verifierInput(object, program, mapInfos(object), 0));
  return judgement.kind === 'accepted' ? { kind: 'accepted' } : judgement;
}

function verdictText(verdict: Verdict): string {
  if (verdict.kind === 'accepted') return green('accepted');
  if (verdict.kind === 'refused') return `${red(`refused -${verdict.errno}`)} ${verdict.reason}`;
  return `${yellow('unknown')} ${dim(`(not modelled: ${verdict.why})`)}`;
}

function members(object: ResolvedObject, table: ResolvedObject['structOps'][number]) {
  const { btf } = object.target;
  return btf.struct(table.type).members.flatMap((member) => {
    const pointer = btf.resolve(member.type);
    const proto = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : undefined;
    if (proto?.kind !== 'func_proto') return [];
    const program = table.programs.find((candidate) => candidate.member === member.name)?.program;
    return [
      {
        member: member.name,
        program,
        prototype: formatDecl(btf, member.type, member.name),
        hash: hex32(kcfiHash(btf, proto.id)),
      },
    ];
  });
}

const mapText = (map: MapBlueprint) => ({
  name: map.name,
  type: MAP_TYPES[map.type] ?? String(map.type),
  keySize: map.keySize,
  valueSize: map.valueSize,
  maxEntries: map.maxEntries,
  flags: map.flags,
  section: map.section ?? null,
});

function describe(object: ResolvedObject, kernelFaults: readonly KernelFault[]): unknown {
  return {
    schema: 1,
    kernelFaults,
    object: object.file.name,
    license: object.file.license,
    ops: object.structOps.map((ops) => ({
      name: ops.name,
      type: ops.type,
      link: ops.link,
      autocreate: ops.autocreate,
      members: members(object, ops),
    })),
    programs: object.programs.map((program) => ({
      name: program.name,
      section: program.section,
      type: program.type,
      sleepable: program.sleepable,
      autoload: program.autoload,
      insns: program.insns.length,
      functions: program.functions.map(({ name, start, end }) => ({ name, start, end })),
      implements: program.structOps ?? null,
      verdict: judge(object, program),
      core: program.core.map(({ insn, resolution }) => ({
        insn,
        local: resolution.local,
        target: resolution.target ?? null,
        poison: resolution.poison,
      })),
    })),
    maps: object.maps.map(mapText),
    externs: object.file.externs.map(({ kind, name, weak }) => ({ kind, name, weak })),
  };
}

function print(object: ResolvedObject, core: boolean): void {
  out(`${bold(object.file.name)}  license ${object.file.license || dim('none')}`);
  for (const ops of object.structOps) {
    out(
      `\n${bold(ops.name)}  struct ${ops.type}${ops.link ? '  with a link' : ''}${ops.autocreate ? '' : '  not created by itself'}`,
    );
    const rows = members(object, ops).map(({ program, prototype, hash }) => [
      `  ${program === undefined ? dim('·') : '●'}`,
      program === undefined ? dim(prototype) : prototype,
      dim(hash),
      program === undefined ? '' : cyan(program),
    ]);
    for (const line of table(rows)) out(line);
  }
  out(`\n${bold('programs')}`);
  const rows = object.programs.map((program) => {
    const poisoned = program.core.filter(({ resolution }) => resolution.poison).length;
    const relocations = `${program.core.length} CO-RE${poisoned > 0 ? red(`, ${poisoned} unresolved`) : ''}`;
    return [
      `  ${cyan(program.name)}`,
      program.section,
      `${program.insns.length} insns`,
      program.functions.length > 1 ? `${program.functions.length} functions` : '',
      relocations,
      program.autoload ? '' : dim('not loaded by itself'),
      verdictText(judge(object, program)),
    ];
  });
  for (const line of table(rows, [2])) out(line);
  if (object.maps.length > 0) {
    out(`\n${bold('maps')}`);
    for (const line of table(
      object.maps
        .map(mapText)
        .map((map) => [
          `  ${cyan(map.name)}`,
          map.type,
          `key ${map.keySize} B`,
          `value ${map.valueSize} B`,
          `${map.maxEntries} entries`,
          map.section === null ? '' : dim(map.section),
        ]),
      [2, 3, 4],
    ))
      out(line);
  }
  if (object.file.externs.length > 0) {
    out(`\n${bold('externs')}`);
    for (const extern of object.file.externs) {
      const type =
        'type' in extern
          ? extern.kind === 'kfunc'
            ? formatDecl(object.file.btf!, extern.type, extern.name)
            : formatType(object.file.btf!, extern.type)
          : '';
      out(`  ${cyan(extern.name)}  ${extern.kind}${extern.weak ? ' (weak)' : ''}  ${dim(type)}`);
    }
  }
  if (!core) return;
  out(`\n${bold('CO-RE relocations')}`);
  for (const program of object.programs) {
    for (const { insn, resolution } of program.core) {
      out(`  ${program.name}:${insn}  ${resolution.local}`);
      out(`    ${resolution.target === undefined ? red('no match in the target') : dim(`→ ${resolution.target}`)}`);
    }
  }
}
