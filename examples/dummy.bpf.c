/*
 * bpf_dummy_ops: the kernel's own ops table for testing struct_ops. It cannot be registered; each program is called by
 * BPF_PROG_TEST_RUN through a trampoline with the hash of a variadic function.
 *
 *   trampet test dummy.bpf.o
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

u64 sum = 0;

/* test_1 may be called with NULL: the stub's parameter is named cb__nullable. */
SEC("struct_ops")
int test_1(u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (void *)ctx[0];
	int old;

	if (!state)
		return 0xf2f3;
	old = state->val;
	state->val = 0x5a;
	return old;
}

SEC("struct_ops")
int test_2(u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (void *)ctx[0];

	sum += (s64)(int)ctx[1] + (u16)ctx[2] + (char)ctx[3] + ctx[4];
	state->val = sum;
	return 0;
}

SEC("struct_ops.s")
int test_sleepable(u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (void *)ctx[0];

	return state->val * 2;
}

SEC(".struct_ops")
struct bpf_dummy_ops dummy = {
	.test_1 = (void *)test_1,
	.test_2 = (void *)test_2,
	.test_sleepable = (void *)test_sleepable,
};
