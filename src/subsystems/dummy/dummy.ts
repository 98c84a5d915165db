import { ERRNO } from '../../base/index.ts';
import {
  type Argument,
  buildTrampoline,
  type Kernel,
  KernelError,
  type LoadedProgram,
  type Subsystem,
} from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import { CFI_HASHES, cfiOffset } from '../../target/index.ts';

const TYPE = 'bpf_dummy_ops';
/** `int (struct bpf_dummy_ops_state *, ...)`: the function type through which test_run calls every member. */
const TEST_STUB = 'dummy_ops_test_ret_function';
const TEST_CALL = 'dummy_ops_call_op';
const PAGE = 4096;

/**
 * `bpf_dummy_ops`: an ops table that can only be tested, never registered. Mirrors net/bpf/bpf_dummy_struct_ops.c (6.12).
 */
export const dummySubsystem: Subsystem = {
  name: 'dummy',
  structOps: [
    {
      name: TYPE,
      stubs: {
        test_1: 'bpf_dummy_ops__test_1',
        test_2: 'bpf_dummy_test_2',
        test_sleepable: 'bpf_dummy_test_sleepable',
      },
      checkMember: (member, program) => (program.sleepable && member !== 'test_sleepable' ? -ERRNO.EINVAL : 0),
      initMember: () => -ERRNO.EOPNOTSUPP,
      reg: () => -ERRNO.EOPNOTSUPP,
      unreg: () => {},
    },
  ],
  stubs: [{ name: TEST_STUB, hash: CFI_HASHES.dummyTest, arity: 1 }],
  callSites: [{ name: TEST_CALL, hash: CFI_HASHES.dummyTest }],
};

export interface TestRunResult {
  /** What the program returned, 32 bits unsigned as BPF_PROG_TEST_RUN reports it. */
  returned: number;
  /** `bpf_dummy_ops_state.val` afterwards, signed; undefined if the state was NULL. */
  state: number | undefined;
}

/**
 * BPF_PROG_TEST_RUN on a program of `bpf_dummy_ops` (bpf_struct_ops_test_run): builds a trampoline with the hash of a
 * variadic function and calls it indirectly.
 * @param args first argument: initial `val` of the state, or null for NULL; then up to four more arguments
 * @throws KernelError with the errno, KernelOops if the guest faults
 */
export function testRun(
  kernel: Kernel,
  program: LoadedProgram,
  args: readonly [number | null, ...Argument[]],
): TestRunResult {
  const wanted = program.resolved.structOps;
  const where = `test_run of '${program.name}'`;
  if (wanted?.type !== TYPE)
    throw new KernelError('the program is not one of bpf_dummy_ops: -EOPNOTSUPP', 'EOPNOTSUPP', where);
  const proto = memberProto(kernel, wanted.member);
  const { params } = kernel.btf.resolve(proto) as { params: { name: string; type: number }[] };
  const [initial, ...rest] = args;
  if (rest.length + 1 > 5) throw new KernelError(`${rest.length + 1} arguments, at most 5: -EINVAL`, 'EINVAL', where);
  if (initial === null && !nullable(kernel, wanted.member))
    throw new KernelError('the first argument must not be NULL (it is not __nullable): -EINVAL', 'EINVAL', where);
  const page = kernel.images.alloc(PAGE, PAGE);
  const symbol = 'bpf_dummy_test_run';
  const state: GuestPtr = initial === null ? 0 : kernel.heap.alloc(kernel.btf.struct('bpf_dummy_ops_state').size);
  try {
    const { trampoline } = buildTrampoline(kernel, program, proto, kernel.symbol(TEST_STUB), () => page);
    kernel.symbols.add(symbol, page, trampoline.allocated);
    if (state !== 0) kernel.memory.setU32(state, initial! >>> 0);
    const target = page + cfiOffset(kernel.target.features);
    const values = params.map((_, i) => (i === 0 ? { ptr: state } : (rest[i - 1] ?? 0)));
    const result = kernel.call(kernel.symbol(TEST_CALL), values, 0, target);
    return { returned: result.lo >>> 0, state: state === 0 ? undefined : kernel.memory.i32(state) };
  } finally {
    kernel.symbols.remove(symbol);
    kernel.images.free(page);
    if (state !== 0) kernel.heap.free(state);
  }
}

function memberProto(kernel: Kernel, member: string): number {
  const pointer = kernel.btf.resolve(kernel.field(TYPE, member).type);
  return pointer.kind === 'ptr' ? kernel.btf.resolve(pointer.type).id : 0;
}

/** A stub's parameter whose name ends in `__nullable` may be NULL. */
function nullable(kernel: Kernel, member: string): boolean {
  const stub = dummySubsystem.structOps[0]!.stubs[member];
  const id = stub === undefined ? undefined : kernel.btf.find(stub, 'func');
  const func = id === undefined ? undefined : kernel.btf.type(id);
  const proto = func?.kind === 'func' ? kernel.btf.resolve(func.type) : undefined;
  return proto?.kind === 'func_proto' && proto.params[0]?.name.endsWith('__nullable') === true;
}
