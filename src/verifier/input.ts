import { ATTACH_TYPES, type Insn, LD_IMM64, PROG_TYPES, PSEUDO } from '../bpf/index.ts';
import type { Btf, BtfKind } from '../btf/index.ts';
import { encodeForLoad, type MapBlueprint, type ResolvedObject, type ResolvedProgram } from '../object/index.ts';
import { mapRecord } from './access/record.ts';
import type { MapInfo, VerifierInput } from './core/types.ts';
import { VerifierError } from './error.ts';
import { BPF_F_RDONLY_PROG } from './tables/maps.table.ts';

const NAME_LENGTH = 15;
/** Processors of the kernels that the goldens were recorded on, where nothing says otherwise. */
const DEFAULT_CPUS = 2;

/** How the kernel names what a tracing program attaches to, by expected attach type: prefix and kind of BTF type. */
const ATTACHED: Readonly<Record<string, readonly [prefix: string, kind: BtfKind]>> = {
  trace_fentry: ['', 'func'],
  trace_fexit: ['', 'func'],
  modify_return: ['', 'func'],
  trace_raw_tp: ['btf_trace_', 'typedef'],
  trace_iter: ['bpf_iter_', 'func'],
  lsm_mac: ['bpf_lsm_', 'func'],
  lsm_cgroup: ['bpf_lsm_', 'func'],
};

/**
 * What libbpf hands to BPF_PROG_LOAD for `program` of `resolved`, with `maps` (see {@link mapInfos}).
 * @param logLevel 1 or 2, as BPF_LOG_LEVEL1 and 2; 4 more for statistics
 * @throws VerifierError of kind `refused` if the kernel lacks what the program attaches to, `unsupported` for a type that is not modelled
 */
export function verifierInput(
  resolved: ResolvedObject,
  program: ResolvedProgram,
  maps: MapInfo[],
  logLevel: number,
): Omit<VerifierInput, 'ops'> {
  const { file, target } = resolved;
  const attach = attachment(resolved, program);
  const insns = encodeForLoad(program, (map) => map);
  return {
    name: program.name,
    insns,
    looseMaps: looseMaps(insns, program),
    progType: PROG_TYPES.indexOf(program.type),
    expectedAttachType: attach.expected,
    sleepable: program.sleepable,
    progFlags: 0,
    license: program.license,
    attachBtfId: attach.btfId,
    memberIndex: attach.expected,
    btf: file.btf ?? null,
    funcInfo: program.functions.map(({ start, typeId, madeStatic }) => ({
      offset: 8 * start,
      type: typeId,
      madeStatic,
    })),
    lineInfo: program.lines.map(({ insn, file: path, text, line, column }) => ({
      offset: 8 * insn,
      file: path,
      text,
      line,
      column,
      raw: [0, 0, line * 1024 + column],
    })),
    maps,
    target: {
      vmlinux: target.btf,
      hz: Number(target.kconfig?.get('CONFIG_HZ') ?? 0),
      cpus: DEFAULT_CPUS,
      jitRequested: true,
      privateStack: true,
      ...(target.symbol === undefined ? {} : { symbolAddress: target.symbol }),
    },
    logLevel,
  };
}

/** Map references that were in the code already, not made by the loader. */
function looseMaps(insns: readonly Insn[], { references }: ResolvedProgram): ReadonlySet<number> {
  const known = new Set(references.map(({ insn }) => insn));
  const isMap = ({ code, src }: Insn) => code === LD_IMM64 && (src === PSEUDO.MAP_FD || src === PSEUDO.MAP_VALUE);
  return new Set(insns.flatMap((insn, i) => (isMap(insn) && !known.has(i) ? [i] : [])));
}

function attachment({ target }: ResolvedObject, program: ResolvedProgram): { expected: number; btfId: number } {
  if (program.type === 'struct_ops') {
    const { type, member } = program.structOps ?? { type: '', member: '' };
    const btfId = target.btf.find(type, 'struct');
    if (btfId === undefined)
      throw new VerifierError('no ops table names this program', `program '${program.name}'`, 'VERIFIER', 'refused');
    return { btfId, expected: target.btf.struct(type).members.findIndex(({ name }) => name === member) };
  }
  const expected = Math.max(0, ATTACH_TYPES.indexOf(program.attach));
  if (program.type !== 'tracing' && program.type !== 'lsm') return { btfId: 0, expected };
  const [prefix, kind] = ATTACHED[program.attach] ?? ['', 'func'];
  const btfId = target.btf.find(prefix + program.attachTarget, kind);
  if (btfId === undefined)
    throw new VerifierError(
      `the kernel's BTF has no '${prefix}${program.attachTarget}' to attach to`,
      `program '${program.name}'`,
      'VERIFIER',
      'refused',
    );
  return { btfId, expected };
}

/** BPF_MAP_TYPE_*: libbpf makes these without BTF. */
const WITHOUT_BTF: readonly number[] = [4, 7, 8, 12, 13, 14, 15, 16, 17, 18, 25];

/** The maps of an object as the verifier sees them, in the order of its map references. */
export function mapInfos({ maps, file, target }: ResolvedObject): MapInfo[] {
  return maps.map((map) => mapInfo(map, file.btf ?? null, target.btf));
}

function mapInfo(map: MapBlueprint, btf: Btf | null, vmlinux: Btf): MapInfo {
  const readonly = (map.flags & BPF_F_RDONLY_PROG) !== 0;
  const plain = !btf || !map.valueTypeId || WITHOUT_BTF.includes(map.type);
  const record = plain ? null : mapRecord(btf, vmlinux, map.valueTypeId, map);
  // Where the kernel refuses the map, libbpf makes it once more without BTF.
  const known = plain || record === false ? null : btf;
  return {
    name: map.name.slice(0, NAME_LENGTH),
    type: map.type,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    flags: map.flags,
    btf: known,
    btfKeyTypeId: known ? map.keyTypeId : 0,
    btfValueTypeId: known ? map.valueTypeId : 0,
    record: record || null,
    inner: map.inner === undefined ? null : { ...mapInfo(map.inner, btf, vmlinux), name: '' },
    frozen: readonly && map.readonly,
    ...(readonly && map.initial !== undefined ? { data: map.initial } : {}),
  };
}
