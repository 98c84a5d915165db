import type { Era, KernelFault, Release } from './types.ts';

const STUB_HASH: KernelFault = {
  id: 'stub-hash',
  what: "cfi_get_func_hash reads a stub's hash at preamble+7, where it stood until 6.14; since then it stands at +5",
  consequence:
    'under FineIBT every trampoline carries (hash >> 16) | 0x0f2e0000, so that each indirect call of a struct_ops member traps',
  kernels: '6.18.32 as shipped',
};
const PARANOID_ITS: KernelFault = {
  id: 'paranoid-its',
  what: "with paranoid FineIBT and ITS thunks the JIT's indirect jump enters the thunk at the `jne` of a caller's hash check",
  consequence: 'no comparison stands before a tail call, so that every tail call of a BPF program traps',
  kernels: '6.18.32',
};
const BHI_ARITY: KernelFault = {
  id: 'bhi-arity',
  what: "cfi_get_func_arity takes the last four bytes of a stub's preamble for a call's distance; stubs of no argument and of one have no such call",
  consequence:
    'with FineIBT+BHI trampolines of members with fewer than two argument registers begin with a call to nowhere: calling such a member is fatal',
  kernels: '6.15 to 6.18, from source',
};
const STACK_ARGUMENTS: KernelFault = {
  id: 'stack-arguments',
  what: 'indirect trampolines copy arguments beyond the sixth register from rbp+0x18, as traced functions need; theirs lie at rbp+0x10',
  consequence: 'programs of members with more than six argument registers get arguments 7 and on from 8 bytes too high',
  kernels: '6.8 to 6.18',
};

/**
 * FineIBT preamble of 6.8 … 6.14 (apply_fineibt in arch/x86/kernel/alternative.c, emit_fineibt in bpf_jit_comp.c):
 *
 *     -10  f3 0f 1e fa              endbr64
 *     -0c  41 81 ea HH HH HH HH     sub  r10d, hash      the caller's hash
 *     -05  74 03  (JIT: 74 07)      je   +0  (JIT: +4, over the poison)
 *     -03  0f 0b                    ud2
 *     -01  90                       nop
 */
const R10_STATIC = [0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x81, 0xea, 0, 0, 0, 0, 0x74, 0x03, 0x0f, 0x0b, 0x90] as const;
const R10_JIT = [0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x81, 0xea, 0, 0, 0, 0, 0x74, 0x07, 0x0f, 0x0b, 0x90] as const;
/** FineIBT caller: mov r10d, hash ; sub r11, 16 ; nop4. */
const R10_CALL = [0x41, 0xba, 0, 0, 0, 0, 0x49, 0x83, 0xeb, 0x10, 0x0f, 0x1f, 0x40, 0x00] as const;
/** `osp nopl (rax)`: four bytes where an ENDBR was. */
const NOP_POISON = [0x66, 0x0f, 0x1f, 0x00] as const;

const V6_12: Era = {
  release: '6.12',
  form: 'seen',
  endbrPoison: NOP_POISON,
  fineibtStatic: R10_STATIC,
  fineibtJit: R10_JIT,
  fineibtHashOffset: 7,
  fineibtTrapOffset: 13,
  fineibtHashRegister: 10,
  fineibtCall: R10_CALL,
  fineibtCallHashOffset: 2,
  bareBranch: { call: [0x41, 0xff, 0xd3, 0x0f, 0x1f, 0x00], jump: [0x41, 0xff, 0xe3, 0xcc, 0x66, 0x90] },
  fineibtStubReadOffset: 7,
  shortJumpMax: 123,
  counterReload: 'calls',
  acquireRelease: false,
  arenaSignedLoads: false,
  arenaFaultReports: false,
  accountedByPadding: ['__bpf_prog_enter_sleepable_recur', '__bpf_prog_exit_sleepable_recur', 'tcp_slow_start'],
  shortKernelAddresses: true,
  probeCheck: 'vsyscall',
  arenas: true,
  lacks: [],
  tailCallByPointer: true,
  faults: [STACK_ARGUMENTS],
  timedMayGoto: false,
  cpuNumberMove: 32,
  privateStacks: false,
  cfiWarn: false,
  cfiBhi: false,
  oopsWords: 'PREEMPT SMP NOPTI',
  bootLine: {
    off: 'SMP alternatives: Disabling CFI',
    kcfi: 'SMP alternatives: Using kCFI',
    fineibt: 'SMP alternatives: Using FineIBT CFI',
  },
};

/**
 * FineIBT of 6.18: the hash travels in eax, a mismatch jumps into the poison's last byte (d6, UDB):
 *
 *     -10  f3 0f 1e fa              endbr64
 *     -0c  2d HH HH HH HH           sub  eax, hash
 *     -07  2e 0f 85 03 00 00 00     cs jne +3
 *     +00  0f 1f 40 d6              nop dword [rax-42]   poison; its last byte traps
 */
const EAX_PREAMBLE = [0xf3, 0x0f, 0x1e, 0xfa, 0x2d, 0, 0, 0, 0, 0x2e, 0x0f, 0x85, 0x03, 0, 0, 0] as const;
/** mov eax, hash ; lea r11, [r11-16] ; nop5. */
const EAX_CALL = [0xb8, 0, 0, 0, 0, 0x4d, 0x8d, 0x5b, 0xf0, 0x0f, 0x1f, 0x44, 0x00, 0x00] as const;

/**
 * Paranoid FineIBT's caller, which compares the callee's hash before it calls; a mismatch jumps onto the f0 of lea's
 * displacement, a LOCK prefix that no jump may have:
 *
 *     b8 H               mov eax, hash
 *     41 3b 43 f5        cmp eax, [r11-11]
 *     2e 4d 8d 5b f0     cs lea r11, [r11-16]
 *     75 fd              jne -3
 *     2e 41 ff d3        cs call r11             (41 ff e3 cc: jmp r11)
 */
const EAX_PARANOID = {
  check: [0xb8, 0, 0, 0, 0, 0x41, 0x3b, 0x43, 0xf5, 0x2e, 0x4d, 0x8d, 0x5b, 0xf0],
  call: [0x75, 0xfd, 0x2e, 0x41, 0xff, 0xd3],
  jump: [0x75, 0xfd, 0x41, 0xff, 0xe3, 0xcc],
} as const;

const V6_18: Era = {
  ...V6_12,
  release: '6.18',
  counterReload: 'bpf calls',
  acquireRelease: true,
  arenaSignedLoads: true,
  arenaFaultReports: true,
  endbrPoison: [0x0f, 0x1f, 0x40, 0xd6],
  fineibtStatic: EAX_PREAMBLE,
  fineibtJit: EAX_PREAMBLE,
  fineibtHashOffset: 5,
  fineibtTrapOffset: 19,
  fineibtHashRegister: 0,
  fineibtCall: EAX_CALL,
  fineibtCallHashOffset: 1,
  fineibtParanoid: EAX_PARANOID,
  bareBranch: { call: [0x2e, 0x2e, 0x2e, 0x41, 0xff, 0xd3], jump: [0x41, 0xff, 0xe3, 0xcc, 0xcc, 0xcc] },
  faults: [STUB_HASH, PARANOID_ITS, BHI_ARITY, STACK_ARGUMENTS],
  fineibtStubReadOffset: 7,
  timedMayGoto: true,
  cpuNumberMove: 64,
  privateStacks: true,
  cfiWarn: true,
  cfiBhi: true,
  oopsWords: 'SMP NOPTI',
  bootLine: {
    off: 'SMP alternatives: CFI: disabled',
    kcfi: 'SMP alternatives: CFI: Using {rehashed }retpoline kCFI',
    fineibt: 'SMP alternatives: Using {paranoid }FineIBT{+BHI} CFI',
  },
};

/** Every era, by release. */
export const ERAS: Readonly<Record<Release, Era>> = {
  '6.8': {
    ...V6_12,
    release: '6.8',
    form: 'from source',
    shortJumpMax: 127,
    shortKernelAddresses: false,
    probeCheck: 'user end',
    arenas: false,
    lacks: ['its', 'callDepth', 'clearBhbLoop'],
    tailCallByPointer: false,
  },
  '6.12': V6_12,
  '6.18': V6_18,
  '6.18+hashfix': {
    ...V6_18,
    release: '6.18+hashfix',
    fineibtStubReadOffset: 5,
    faults: V6_18.faults.filter((fault) => fault !== STUB_HASH),
  },
};
