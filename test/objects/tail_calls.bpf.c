/*
 * Tail calls of congestion controls, for test/kernel/tail_calls.test.ts.
 * Build: clang -O2 -g -target bpf -mcpu=v3 -I../../examples -c tail_calls.bpf.c -o tail_calls.bpf.o; llvm-strip -g
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

static long (*tail_call)(void *ctx, void *map, u32 index) = (void *)12;

u32 chain_undo(u64 *ctx);
u32 chain_ssthresh(u64 *ctx);

struct {
	int (*type)[3];
	int (*max_entries)[4];
	int (*key_size)[4];
	u32 (*values[])(u64 *ctx);
} next SEC(".maps") = {
	.values = { [1] = chain_undo, [2] = chain_ssthresh },
};

u32 chosen = 1;
u32 rounds = 0;

SEC("struct_ops")
u32 direct(u64 *ctx)
{
	tail_call(ctx, &next, 1);
	return 7;
}

SEC("struct_ops")
u32 chain_undo(u64 *ctx)
{
	return 40;
}

SEC("struct_ops")
u32 indirect(u64 *ctx)
{
	tail_call(ctx, &next, chosen);
	return 8;
}

/* Calls itself until the kernel says that it is enough. */
SEC("struct_ops")
u32 chain_ssthresh(u64 *ctx)
{
	rounds++;
	tail_call(ctx, &next, 2);
	return rounds;
}

SEC("struct_ops")
void avoid(u64 *ctx)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops calls_direct = {
	.ssthresh = (void *)direct,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)chain_undo,
	.name = "direct",
};

SEC(".struct_ops")
struct tcp_congestion_ops calls_indirect = {
	.ssthresh = (void *)indirect,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)chain_ssthresh,
	.name = "indirect",
};
