import { type Insn, LD_IMM64, PSEUDO, PSEUDO_KFUNC_CALL, sectionMeaning } from '../bpf/index.ts';
import { CoreResolver } from '../btf/index.ts';
import { fillKconfig } from './_kconfig.ts';
import { type Linked, link, linkLines, typeIdOf, within } from './_link.ts';
import { patchCore } from './_patch.ts';
import { resolveStructOps } from './_struct_ops.ts';
import { ObjectError } from './error.ts';
import type {
  CodeBlueprint,
  CodeRelocation,
  ObjectFile,
  ProgramReference,
  ResolvedObject,
  ResolvedProgram,
  ResolveTarget,
} from './types.ts';

/** Ids that libbpf gives calls of weak kfuncs that the kernel lacks: POISON_CALL_KFUNC_BASE. */
const POISON_KFUNC = 2002000000;

/**
 * Settles every reference of an object against a target: CO-RE relocations, externs, subprogram linking and the layout of
 * ops tables. What the target lacks is refused, except where the object says that it may be missing.
 * @throws ObjectError, BtfError
 */
export function resolveObject(file: ObjectFile, target: ResolveTarget): ResolvedObject {
  const core = file.btf === undefined ? undefined : new CoreResolver(file.btf, target.btf);
  const coreCache = new Map<CodeBlueprint, ResolvedProgram['core']>();
  const coreOf = (code: CodeBlueprint): ResolvedProgram['core'] => {
    const known = coreCache.get(code);
    if (known !== undefined) return known;
    const found = within(file.ext?.core.get(code.section), code).map((relocation) => {
      if (relocation.offset % 8 !== 0)
        throw new ObjectError('CO-RE relocation points into the middle of an instruction', {
          where: `${code.section}+${relocation.offset}`,
        });
      return { insn: relocation.offset / 8 - code.start, relocation, resolution: core!.resolve(relocation) };
    });
    coreCache.set(code, found);
    return found;
  };
  const programs = file.programs.map((code) => resolveProgram(file, code, target, coreOf));
  const maps = file.maps.map((map) => (map.section === '.kconfig' ? fillKconfig(file, map, target) : map));
  const structOps = file.structOps.map((blueprint) => resolveStructOps(file, blueprint, target, programs));
  return { file, target, programs, maps, structOps };
}

function resolveProgram(
  file: ObjectFile,
  code: CodeBlueprint,
  target: ResolveTarget,
  coreOf: (code: CodeBlueprint) => ResolvedProgram['core'],
): ResolvedProgram {
  const meaning = sectionMeaning(code.section);
  if (meaning === undefined)
    throw new ObjectError(`section name '${code.section}' of program '${code.name}' is not known`, {
      where: code.section,
      kind: 'unsupported',
      code: 'OBJECT_SECTION',
    });
  const linked = link(file, code);
  const core: ResolvedProgram['core'] = [];
  for (const part of linked.parts) {
    for (const entry of coreOf(part.code)) {
      const insn = part.start + entry.insn;
      patchCore(linked.insns, insn, entry.resolution, `${code.section}:${code.name}+${insn * 8}`);
      core.push({ ...entry, insn });
    }
  }
  return {
    name: code.name,
    section: code.section,
    type: meaning.type,
    attach: meaning.attach,
    attachTarget: meaning.target,
    sleepable: meaning.sleepable,
    autoload: meaning.autoload,
    license: file.license,
    insns: linked.insns,
    functions: linked.parts.map(({ code: part, start }) => ({
      name: part.name,
      start,
      end: start + part.insns.length,
      typeId: typeIdOf(file, part),
      madeStatic: part.hidden && part.global && part.section === '.text',
    })),
    references: references(file, linked, target),
    lines: linkLines(file, linked),
    core,
  };
}

function references(file: ObjectFile, linked: Linked, target: ResolveTarget): ProgramReference[] {
  return linked.relocations.map((relocation) => referenceOf(file, linked, target, relocation));
}

function referenceOf(
  file: ObjectFile,
  linked: Linked,
  target: ResolveTarget,
  relocation: CodeRelocation,
): ProgramReference {
  const { insn } = relocation;
  switch (relocation.kind) {
    case 'map':
      return { insn, kind: 'map', map: relocation.map };
    case 'map_value':
      return { insn, kind: 'map_value', map: relocation.map, offset: relocation.offset + linked.insns[insn]!.imm };
    case 'func':
      return { insn, kind: 'func', target: relocation.target };
    case 'extern':
    case 'extern_call':
      return externReference(file, relocation.extern, insn, relocation.kind === 'extern_call', target);
    case 'call':
      throw new ObjectError('call relocation left over after linking');
  }
}

function externReference(
  file: ObjectFile,
  index: number,
  insn: number,
  isCall: boolean,
  target: ResolveTarget,
): ProgramReference {
  const extern = file.externs[index]!;
  const missing = (why: string, hint?: string) =>
    new ObjectError(why, {
      where: extern.name,
      kind: 'refused',
      code: 'ESRCH',
      ...(hint === undefined ? {} : { hint }),
    });
  if (isCall !== (extern.kind === 'kfunc') && extern.kind !== 'kfunc')
    throw missing(`extern '${extern.name}' is called but is no function`);
  switch (extern.kind) {
    case 'kconfig':
      return {
        insn,
        kind: 'map_value',
        map: file.maps.findIndex((map) => map.section === '.kconfig'),
        offset: extern.offset,
      };
    case 'ksym_typeless': {
      const address = target.symbol?.(extern.name);
      if (address === undefined && !extern.weak)
        throw missing(`extern (ksym) '${extern.name}' is not a symbol of the target kernel`);
      return { insn, kind: 'ksym', name: extern.name, address };
    }
    case 'ksym_typed': {
      const btfId = target.btf.find(extern.name, 'var');
      if (btfId === undefined && !extern.weak)
        throw missing(`extern (var ksym) '${extern.name}': not found in kernel BTF`);
      return { insn, kind: 'ksym_typed', name: extern.name, btfId };
    }
    case 'kfunc': {
      const name = extern.name.replace(/___.*$/, '');
      const btfId = target.btf.find(name, 'func');
      if (btfId === undefined && !extern.weak)
        throw missing(`extern (func ksym) '${extern.name}': not found in kernel BTF (unknown kfunc)`);
      if (!isCall) return { insn, kind: 'ksym_typed', name, btfId };
      return { insn, kind: 'kfunc', name, btfId, extern: index };
    }
  }
}

/** File descriptor of a map, by its index in the object. */
export type MapFd = (map: number) => number;

/** The instructions as bpf(BPF_PROG_LOAD) gets them from libbpf (6.12): the exact slots, with `fd` for maps. */
export function encodeForLoad(program: ResolvedProgram, fd: MapFd): Insn[] {
  const insns = program.insns.map((insn) => ({ ...insn }));
  for (const reference of program.references) {
    const insn = insns[reference.insn]!;
    const second = insns[reference.insn + 1];
    switch (reference.kind) {
      case 'map':
        Object.assign(insn, { src: PSEUDO.MAP_FD, imm: fd(reference.map) });
        break;
      case 'map_value':
        Object.assign(insn, { src: PSEUDO.MAP_VALUE, imm: fd(reference.map) });
        second!.imm = reference.offset | 0;
        break;
      case 'func':
        break;
      case 'ksym': {
        const address = reference.address ?? 0n;
        insn.imm = Number(BigInt.asIntN(32, address));
        second!.imm = Number(BigInt.asIntN(32, address >> 32n));
        break;
      }
      case 'ksym_typed':
        if (insn.code !== LD_IMM64)
          throw new ObjectError(`typed ksym '${reference.name}' is not loaded by a 64-bit load`, {
            where: program.name,
          });
        insn.imm = reference.btfId ?? 0;
        if (reference.btfId !== undefined) insn.src = PSEUDO.BTF_ID;
        second!.imm = 0;
        break;
      case 'kfunc':
        if (reference.btfId === undefined)
          Object.assign(insn, { dst: 0, src: 0, off: 0, imm: POISON_KFUNC + reference.extern });
        else Object.assign(insn, { src: PSEUDO_KFUNC_CALL, off: 0, imm: reference.btfId });
        break;
    }
  }
  return insns;
}
