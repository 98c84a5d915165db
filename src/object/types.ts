import type { Insn } from '../bpf/index.ts';
import type { Btf, BtfExt, CoreRelocation, CoreResolution } from '../btf/index.ts';

/** A `.bpf.o` as it lies in the file: nothing in it depends on a kernel. */
export interface ObjectFile {
  /** File name without directory and `.bpf.o`. */
  name: string;
  license: string;
  btf: Btf | undefined;
  /** The raw `.BTF` section. */
  btfBytes: Uint8Array | undefined;
  ext: BtfExt | undefined;
  /** Entry programs, in file order. */
  programs: CodeBlueprint[];
  /** Functions of `.text`: subprograms, by offset. */
  subprograms: CodeBlueprint[];
  /** BTF-defined maps, then data sections, then `.kconfig`; ops tables are apart. */
  maps: MapBlueprint[];
  externs: ExternBlueprint[];
  structOps: StructOpsBlueprint[];
}

/** One function as it lies in a section. */
export interface CodeBlueprint {
  name: string;
  section: string;
  /** First slot in its section. */
  start: number;
  insns: Insn[];
  relocations: CodeRelocation[];
  global: boolean;
  /** STV_HIDDEN or static: verified with its callers. */
  hidden: boolean;
}

/** A function of a program, by slots of the program. */
export interface ProgramFunction {
  name: string;
  start: number;
  end: number;
  /** Of its `func` in the object's BTF, 0 without. */
  typeId: number;
  /** libbpf says static where the BTF says global: a subprogram that is hidden from other objects. */
  madeStatic: boolean;
}

/** What a relocated instruction refers to; `insn` counts slots from the function's start. */
export type CodeRelocation =
  | { insn: number; kind: 'map'; map: number }
  | { insn: number; kind: 'map_value'; map: number; offset: number }
  | { insn: number; kind: 'call'; target: number }
  | { insn: number; kind: 'func'; target: number }
  | { insn: number; kind: 'extern'; extern: number }
  | { insn: number; kind: 'extern_call'; extern: number };

export interface MapBlueprint {
  name: string;
  /** enum bpf_map_type. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  extra: bigint;
  numaNode: number;
  pinned: boolean;
  /** Local BTF ids, 0 without. */
  keyTypeId: number;
  valueTypeId: number;
  /** Initial value of the only element: data sections; of an arena, what its variables begin with. */
  initial?: Uint8Array;
  /** For data sections: the section. */
  section?: string;
  /** For data sections: BTF id, place and bytes of its variables, by place; where BTF lists them. */
  variables?: { type: number; offset: number; size: number }[];
  readonly: boolean;
  /** Prototype of inner maps. */
  inner?: MapBlueprint;
  /** `values` of prog arrays and maps of maps: element → name of program or map. */
  slots: { index: number; name: string }[];
}

export type ExternBlueprint =
  | { kind: 'kconfig'; name: string; weak: boolean; type: number; size: number; align: number; offset: number }
  /** `void name __ksym`: an address. */
  | { kind: 'ksym_typeless'; name: string; weak: boolean }
  /** A variable of the kernel, by BTF. */
  | { kind: 'ksym_typed'; name: string; weak: boolean; type: number }
  | { kind: 'kfunc'; name: string; weak: boolean; type: number };

/** A variable in `.struct_ops…`: an instance of an ops struct in the program's own layout. */
export interface StructOpsBlueprint {
  name: string;
  section: string;
  /** Local BTF id of the struct. */
  type: number;
  /** With a link (`.struct_ops.link`). */
  link: boolean;
  /** False in `?.struct_ops…`. */
  autocreate: boolean;
  data: Uint8Array;
  /** Byte offset of a pointer → program. */
  programs: { offset: number; program: string }[];
}

/** What resolving needs to know of the kernel. */
export interface ResolveTarget {
  btf: Btf;
  /** e.g. `6.12`: LINUX_KERNEL_VERSION. */
  release?: string;
  /** `CONFIG_HZ` → `1000`. */
  kconfig?: ReadonlyMap<string, string>;
  /** Address of a symbol, as kallsyms has it. */
  symbol?: (name: string) => bigint | undefined;
}

/** An object whose every reference is settled against a target; still no kernel involved. */
export interface ResolvedObject {
  file: ObjectFile;
  target: ResolveTarget;
  programs: ResolvedProgram[];
  maps: MapBlueprint[];
  structOps: StructOpsTable[];
}

export interface ResolvedProgram {
  name: string;
  section: string;
  /** As in PROG_TYPES: `struct_ops`. */
  type: string;
  attach: string;
  /** What follows `/` in the section's name. */
  attachTarget: string;
  sleepable: boolean;
  autoload: boolean;
  license: string;
  /** The member that it implements. */
  structOps?: { type: string; member: string };
  /** Main function first, then the subprograms that it reaches, as libbpf appends them. */
  insns: Insn[];
  functions: ProgramFunction[];
  references: ProgramReference[];
  lines: ProgramLine[];
  core: { insn: number; relocation: CoreRelocation; resolution: CoreResolution }[];
}

/** What the loader fills in at `insn`. */
export type ProgramReference =
  | { insn: number; kind: 'map'; map: number }
  | { insn: number; kind: 'map_value'; map: number; offset: number }
  | { insn: number; kind: 'func'; target: number }
  | { insn: number; kind: 'ksym'; name: string; address: bigint | undefined }
  | { insn: number; kind: 'ksym_typed'; name: string; btfId: number | undefined }
  | { insn: number; kind: 'kfunc'; name: string; btfId: number | undefined; extern: number };

export interface ProgramLine {
  insn: number;
  file: string;
  text: string;
  line: number;
  column: number;
}

/** An ops table in the kernel's layout. */
export interface StructOpsTable {
  name: string;
  type: string;
  link: boolean;
  autocreate: boolean;
  /** `struct <type>` of the target with programs' slots zero. */
  data: Uint8Array;
  programs: { member: string; program: string }[];
}
