/*
 * Faulty on purpose: a congestion control without a name. The owner's init_member refuses it with -EINVAL.
 *
 *   trampet run faulty_no_name.bpf.o
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops")
u32 ssthresh(u64 *ctx)
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
struct tcp_congestion_ops nameless = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
};
