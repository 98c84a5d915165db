// bpf: the instruction set and the names of the BPF system call.
// Takes: 8-byte instruction slots. Gives: their fields, their text, names of helpers, map, program and attach types,
// and the meaning of SEC() names.
// Mirrors: include/uapi/linux/bpf.h, kernel/bpf/disasm.c, section_defs of tools/lib/bpf/libbpf.c.
// Leaves out: an assembler from text.
export { disassemble, helperName, type OperandNames } from './disassemble.ts';
export { type Insn, readInsns, writeInsns } from './insn.ts';
export { ATTACH_TYPES, HELPERS, MAP_TYPES, PROG_TYPES } from './names.table.ts';
export {
  ALU,
  ATOMIC,
  CALL,
  CLASS,
  EXIT,
  JMP,
  LD_IMM64,
  MODE,
  PSEUDO,
  PSEUDO_CALL,
  PSEUDO_KFUNC_CALL,
  SIZE,
  SRC_X,
  sizeInBytes,
} from './opcodes.ts';
export { type SectionMeaning, sectionMeaning } from './sections.ts';
