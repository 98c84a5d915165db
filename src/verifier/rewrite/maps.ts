import { ALU, type Insn, JMP, SIZE } from '../../bpf/index.ts';
import type { MapInfo } from '../core/types.ts';
import * as M from '../tables/maps.table.ts';
import * as b from './build.ts';
import { callOf, type RewriteTarget } from './target.ts';

const { R0, R1, R2 } = b;
const { DW, W, B } = SIZE;
const POINTER = 8;

/** What inlined look-ups ask of a map. */
export type LookupMap = Pick<MapInfo, 'type' | 'keySize' | 'valueSize' | 'maxEntries' | 'flags'>;

/**
 * `map_gen_lookup` of a map's operations: bpf_map_lookup_elem in place; undefined where the kernel calls a function. Nobody
 * unprivileged runs here, so that no index is masked.
 */
export function inlineLookup(map: LookupMap, target: RewriteTarget, where: string): Insn[] | undefined {
  switch (map.type) {
    case M.MAP_HASH:
      return inHash(map, target, where, []);
    case M.MAP_ARRAY:
      return map.flags & M.BPF_F_INNER_MAP ? undefined : inArray(map, target, map.valueSize, []);
    case M.MAP_PERCPU_HASH:
      return inHash(map, target, where, [b.load(DW, R0, R0, 0), b.movPerCpu(R0, R0)]);
    case M.MAP_PERCPU_ARRAY:
      return map.flags & M.BPF_F_INNER_MAP
        ? undefined
        : inArray(map, target, POINTER, [b.load(DW, R0, R0, 0), b.movPerCpu(R0, R0)]);
    case M.MAP_LRU_HASH:
      return inLruHash(map, target, where);
    case M.MAP_ARRAY_OF_MAPS:
      return inArray(map, target, POINTER, [b.load(DW, R0, R0, 0), b.jumpImm(JMP.JEQ, R0, 0, 1)]);
    case M.MAP_HASH_OF_MAPS:
      return inHash(map, target, where, [b.load(DW, R0, R0, 0)]);
    default:
      return undefined;
  }
}

/** An element of `size` bytes of an array, and `then` what it points to. */
function inArray(map: LookupMap, { vmlinux }: RewriteTarget, size: number, then: readonly Insn[]): Insn[] {
  const element = Math.ceil(size / 8) * 8;
  const shift = Math.log2(element);
  return [
    b.aluImm(ALU.ADD, R1, vmlinux.member('bpf_array', 'value').offset),
    b.load(W, R0, R2, 0),
    b.jumpImm(JMP.JGE, R0, map.maxEntries | 0, 3 + then.length),
    Number.isInteger(shift) ? b.aluImm(ALU.LSH, R0, shift) : b.aluImm(ALU.MUL, R0, element),
    b.alu(ALU.ADD, R0, R1),
    ...then,
    b.jump(1),
    b.movImm(R0, 0),
  ];
}

/** Distance of the value from the start of its element. */
const valueOffset = ({ keySize }: LookupMap, { vmlinux }: RewriteTarget): number =>
  vmlinux.member('htab_elem', 'key').offset + Math.ceil(keySize / 8) * 8;

function inHash(map: LookupMap, target: RewriteTarget, where: string, then: readonly Insn[]): Insn[] {
  return [
    callOf(target, '__htab_map_lookup_elem', where),
    b.jumpImm(JMP.JEQ, R0, 0, 1 + then.length),
    b.aluImm(ALU.ADD, R0, valueOffset(map, target)),
    ...then,
  ];
}

/** The element is marked as used where it is not. */
function inLruHash(map: LookupMap, target: RewriteTarget, where: string): Insn[] {
  const { vmlinux } = target;
  const used = vmlinux.member('htab_elem', 'lru_node').offset + vmlinux.member('bpf_lru_node', 'ref').offset;
  return [
    callOf(target, '__htab_map_lookup_elem', where),
    b.jumpImm(JMP.JEQ, R0, 0, 4),
    b.load(B, R1, R0, used),
    b.jumpImm(JMP.JNE, R1, 0, 1),
    b.storeImm(B, R0, used, 1),
    b.aluImm(ALU.ADD, R0, valueOffset(map, target)),
  ];
}
