/*
 * Faulty on purpose: one program stands in two tables of different types. Its context would be that of two prototypes, so
 * the loader refuses before the kernel sees it.
 *
 *   trampet run faulty_wrong_table.bpf.o
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops")
u32 shared(u64 *ctx)
{
	return tcp_reno_ssthresh((struct sock *)ctx[0]);
}

SEC("struct_ops")
void avoid(u64 *ctx)
{
	tcp_reno_cong_avoid((struct sock *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 undo(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops")
struct tcp_congestion_ops control = {
	.ssthresh = (void *)shared,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "ex_wrong_table",
};

SEC(".struct_ops")
struct bpf_dummy_ops dummy = {
	.test_1 = (void *)shared,
};
