/*
 * Loops that may_goto bounds, for test/kernel/loops.test.ts.
 * Build: clang -O2 -g -target bpf -mcpu=v3 -I../../examples -c loops.bpf.c -o loops.bpf.o; llvm-strip -g
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define can_loop                                                                                                      \
	({                                                                                                           \
		__label__ out, on;                                                                                   \
		int go = 1;                                                                                          \
		asm volatile goto("may_goto %l[out]" ::: : out);                                                     \
		goto on;                                                                                             \
	out:                                                                                                         \
		go = 0;                                                                                              \
	on:                                                                                                          \
		go;                                                                                                  \
	})

/* Ends by its own condition: rounds of an LCG until a byte comes up. */
SEC("struct_ops")
int test_1(u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (void *)ctx[0];
	u32 x, rounds = 0;

	if (!state)
		return -1;
	x = state->val;
	while (can_loop) {
		x = x * 1664525 + 1013904223;
		rounds++;
		if ((x >> 24) == 42)
			break;
	}
	state->val = x;
	return rounds;
}

/* Would never end: may_goto does. */
SEC("struct_ops")
int test_2(u64 *ctx)
{
	u64 rounds = 0;

	while (can_loop)
		rounds++;
	return rounds >> 12;
}

SEC(".struct_ops")
struct bpf_dummy_ops loops = {
	.test_1 = (void *)test_1,
	.test_2 = (void *)test_2,
};
