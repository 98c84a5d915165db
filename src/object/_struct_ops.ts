import { type ElfSection, STT } from '../elf/index.ts';
import { sectionVariables } from './_datasec.ts';
import { ObjectError } from './error.ts';
import type { Opening } from './open.ts';
import type { ObjectFile, ResolvedProgram, ResolveTarget, StructOpsBlueprint, StructOpsTable } from './types.ts';

const SECTION = /^\??\.struct_ops(\.link)?$/;

/** Instances of ops structs, with the program that each function pointer names. */
export function readStructOps(opening: Opening): StructOpsBlueprint[] {
  return opening.elf.sections
    .filter((section) => SECTION.test(section.name) && section.size > 0)
    .flatMap((section) => readTables(opening, section));
}

function readTables(opening: Opening, section: ElfSection): StructOpsBlueprint[] {
  const { btf, elf } = opening;
  const variables = sectionVariables(opening, section).sort((a, b) => a.offset - b.offset);
  const tables = variables.map(({ name, offset, type }): StructOpsBlueprint => {
    const where = `${section.name}:${name}`;
    const struct = btf!.resolve(type);
    if (struct.kind !== 'struct' || struct.name === '')
      throw new ObjectError('ops table is no instance of a named struct', { where });
    if (offset + struct.size > section.data.length)
      throw new ObjectError('ops table lies past the end of its section', { where });
    return {
      name,
      section: section.name,
      type: struct.id,
      link: section.name.endsWith('.link'),
      autocreate: !section.name.startsWith('?'),
      data: section.data.subarray(offset, offset + struct.size),
      programs: [],
    };
  });
  for (const relocation of elf.relocations(section)) {
    const index = variables.findLastIndex(({ offset }) => offset <= relocation.offset);
    const table = tables[index];
    const symbol = elf.symbols[relocation.symbol]!;
    const where = `${section.name}+${relocation.offset}`;
    if (table === undefined)
      throw new ObjectError('relocation points to no ops table', { where, code: 'OBJECT_RELOCATION' });
    if (symbol.type !== STT.FUNC)
      throw new ObjectError(`'${symbol.name}' in ops table '${table.name}' is no program`, {
        where,
        code: 'OBJECT_RELOCATION',
      });
    table.programs.push({ offset: relocation.offset - variables[index]!.offset, program: symbol.name });
  }
  return tables;
}

/**
 * Translates an ops table into the kernel's layout and marks the programs that it names, as
 * bpf_map__init_kern_struct_ops of tools/lib/bpf/libbpf.c (6.12) does.
 */
export function resolveStructOps(
  file: ObjectFile,
  blueprint: StructOpsBlueprint,
  target: ResolveTarget,
  programs: ResolvedProgram[],
): StructOpsTable {
  const local = file.btf!.struct(blueprint.type);
  const typeName = local.name.replace(/___.*$/, '');
  const where = `${blueprint.section}:${blueprint.name}`;
  const refuse = (why: string) => new ObjectError(why, { where, kind: 'refused', code: 'ENOTSUP' });
  const kernelId = target.btf.find(typeName, 'struct');
  if (kernelId === undefined) throw refuse(`struct_ops init_kern: struct ${typeName} is not found in kernel BTF`);
  const valueId = target.btf.find(`bpf_struct_ops_${typeName}`, 'struct');
  if (valueId === undefined)
    throw refuse(
      `struct_ops init_kern: struct bpf_struct_ops_${typeName} is not found in kernel BTF (the kernel has no such ops type)`,
    );
  const kernel = target.btf.struct(kernelId);
  const table: StructOpsTable = {
    name: blueprint.name,
    type: typeName,
    link: blueprint.link,
    autocreate: blueprint.autocreate,
    data: new Uint8Array(kernel.size),
    programs: [],
  };
  const named = new Map(blueprint.programs.map(({ offset, program }) => [offset, program]));
  for (const member of local.members) {
    const name = member.name;
    const offset = member.bitOffset / 8;
    const size = member.bitSize > 0 ? 0 : file.btf!.sizeOf(member.type);
    const value = blueprint.data.subarray(offset, offset + size);
    const program = named.get(offset);
    if (program !== undefined) named.delete(offset);
    const wanted = kernel.members.find((other) => other.name === name.replace(/___.*$/, ''));
    if (wanted === undefined) {
      if (program === undefined && value.every((byte) => byte === 0)) continue;
      throw refuse(`struct_ops init_kern: cannot find member ${name} in kernel BTF`);
    }
    if (member.bitSize > 0 || wanted.bitSize > 0)
      throw refuse(`struct_ops init_kern: bitfield ${name} is not supported`);
    const kernelType = target.btf.resolve(wanted.type);
    const localType = file.btf!.resolve(member.type);
    if (localType.kind !== kernelType.kind)
      throw refuse(
        `struct_ops init_kern: unmatched member type ${name} ${localType.kind} != ${kernelType.kind}(kernel)`,
      );
    if (program !== undefined) {
      if (kernelType.kind !== 'ptr' || target.btf.resolve(kernelType.type).kind !== 'func_proto')
        throw refuse(`struct_ops init_kern: kernel member ${name} is not a func ptr`);
      bindProgram(programs, program, typeName, wanted.name, where);
      table.programs.push({ member: wanted.name, program });
      continue;
    }
    const kernelSize = target.btf.sizeOf(wanted.type);
    if (size !== kernelSize)
      throw refuse(`struct_ops init_kern: unmatched member size ${name} ${size} != ${kernelSize}(kernel)`);
    table.data.set(value, wanted.bitOffset / 8);
  }
  for (const [offset, program] of named)
    throw refuse(`relocation of '${program}' at offset ${offset} points to no member of struct ${local.name}`);
  return table;
}

function bindProgram(programs: ResolvedProgram[], name: string, type: string, member: string, where: string): void {
  const program = programs.find((candidate) => candidate.name === name);
  if (program === undefined)
    throw new ObjectError(`program '${name}' of ops member '${member}' does not exist`, {
      where,
      code: 'OBJECT_RELOCATION',
    });
  if (program.type !== 'struct_ops') {
    throw new ObjectError(
      `program '${name}' in SEC("${program.section}") is no struct_ops program and cannot implement ${type}.${member}`,
      { where, kind: 'refused', code: 'EINVAL', hint: 'put it into SEC("struct_ops")' },
    );
  }
  const before = program.structOps;
  if (before !== undefined && (before.type !== type || before.member !== member)) {
    throw new ObjectError(
      `struct_ops reloc: invalid reuse of prog ${name}: it implements ${before.type}.${before.member} and ${type}.${member}`,
      { where, kind: 'refused', code: 'EINVAL' },
    );
  }
  program.structOps = { type, member };
}
