/*
 * Faulty on purpose: undo_cwnd is required and missing. The owner's validate refuses the table with -EINVAL and says so in
 * the kernel's log.
 *
 *   trampet run faulty_missing_member.bpf.o
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

SEC(".struct_ops")
struct tcp_congestion_ops incomplete = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)avoid,
	.name = "ex_incomplete",
};
