/** BPF_MAP_TYPE_* that have rules here (include/uapi/linux/bpf.h). */
export const MAP_HASH = 1;
export const MAP_ARRAY = 2;
export const MAP_PROG_ARRAY = 3;
export const MAP_PERCPU_HASH = 5;
export const MAP_PERCPU_ARRAY = 6;
export const MAP_LRU_HASH = 9;
export const MAP_LRU_PERCPU_HASH = 10;
export const MAP_ARRAY_OF_MAPS = 12;
export const MAP_HASH_OF_MAPS = 13;
export const MAP_XSKMAP = 17;
export const MAP_CGROUP_STORAGE = 19;
export const MAP_SK_STORAGE = 24;
export const MAP_STRUCT_OPS = 26;
export const MAP_INODE_STORAGE = 28;
export const MAP_TASK_STORAGE = 29;
export const MAP_BLOOM_FILTER = 30;
export const MAP_CGRP_STORAGE = 32;
export const MAP_ARENA = 33;

/** Flags of a map. */
export const BPF_F_RDONLY_PROG = 1 << 7;
export const BPF_F_WRONLY_PROG = 1 << 8;
export const BPF_F_INNER_MAP = 1 << 12;
export const BPF_F_NO_USER_CONV = 1 << 18;
