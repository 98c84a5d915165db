/*
 * Reno on the kernel's own functions: the smallest congestion control that the kernel accepts.
 *
 * A struct_ops program gets its arguments in an array of 64-bit slots, one for each argument of the member. Three members
 * are required: ssthresh, undo_cwnd, and cong_avoid or cong_control.
 *
 *   trampet run reno.bpf.o
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops")
u32 reno_ssthresh(u64 *ctx)
{
	return tcp_reno_ssthresh((struct sock *)ctx[0]);
}

SEC("struct_ops")
void reno_cong_avoid(u64 *ctx)
{
	tcp_reno_cong_avoid((struct sock *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 reno_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops")
struct tcp_congestion_ops reno = {
	.ssthresh = (void *)reno_ssthresh,
	.cong_avoid = (void *)reno_cong_avoid,
	.undo_cwnd = (void *)reno_undo_cwnd,
	.name = "ex_reno",
};
