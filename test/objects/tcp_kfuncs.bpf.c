/*
 * Congestion controls that are nothing but calls of the kernel's own, for test/subsystems/tcp_modules.test.ts.
 * Build: clang -O2 -g -target bpf -mcpu=v3 -I../../examples -c tcp_kfuncs.bpf.c -o tcp_kfuncs.bpf.o; llvm-strip -g
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

extern void bbr_init(struct sock *sk) KSYM;
extern void bbr_main(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs) KSYM;
extern u32 bbr_sndbuf_expand(struct sock *sk) KSYM;
extern u32 bbr_undo_cwnd(struct sock *sk) KSYM;
extern void bbr_cwnd_event(struct sock *sk, enum tcp_ca_event event) KSYM;
extern u32 bbr_ssthresh(struct sock *sk) KSYM;
extern u32 bbr_min_tso_segs(struct sock *sk) KSYM;
extern void bbr_set_state(struct sock *sk, u8 new_state) KSYM;
extern void dctcp_init(struct sock *sk) KSYM;
extern void dctcp_update_alpha(struct sock *sk, u32 flags) KSYM;
extern void dctcp_cwnd_event(struct sock *sk, enum tcp_ca_event event) KSYM;
extern u32 dctcp_ssthresh(struct sock *sk) KSYM;
extern u32 dctcp_cwnd_undo(struct sock *sk) KSYM;
extern void dctcp_state(struct sock *sk, u8 new_state) KSYM;
extern void cubictcp_init(struct sock *sk) KSYM;
extern u32 cubictcp_recalc_ssthresh(struct sock *sk) KSYM;
extern void cubictcp_cong_avoid(struct sock *sk, u32 ack, u32 acked) KSYM;
extern void cubictcp_state(struct sock *sk, u8 new_state) KSYM;
extern void cubictcp_cwnd_event(struct sock *sk, enum tcp_ca_event event) KSYM;
extern void cubictcp_acked(struct sock *sk, const struct ack_sample *sample) KSYM;

#define SK ((struct sock *)ctx[0])

SEC("struct_ops") void all_init(u64 *ctx)
{
	bbr_init(SK);
	dctcp_init(SK);
	cubictcp_init(SK);
}
SEC("struct_ops") void all_in_ack_event(u64 *ctx)
{
	dctcp_update_alpha(SK, ctx[1]);
}
SEC("struct_ops") void all_cong_control(u64 *ctx)
{
	bbr_main(SK, ctx[1], ctx[2], (const struct rate_sample *)ctx[3]);
}
SEC("struct_ops") void all_cong_avoid(u64 *ctx)
{
	cubictcp_cong_avoid(SK, ctx[1], ctx[2]);
}
SEC("struct_ops") u32 all_sndbuf_expand(u64 *ctx)
{
	return bbr_sndbuf_expand(SK);
}
SEC("struct_ops") u32 all_undo_cwnd(u64 *ctx)
{
	bbr_undo_cwnd(SK);
	return dctcp_cwnd_undo(SK);
}
SEC("struct_ops") void all_cwnd_event(u64 *ctx)
{
	bbr_cwnd_event(SK, ctx[1]);
	dctcp_cwnd_event(SK, ctx[1]);
	cubictcp_cwnd_event(SK, ctx[1]);
}
SEC("struct_ops") u32 all_ssthresh(u64 *ctx)
{
	bbr_ssthresh(SK);
	dctcp_ssthresh(SK);
	return cubictcp_recalc_ssthresh(SK);
}
SEC("struct_ops") u32 all_min_tso_segs(u64 *ctx)
{
	return bbr_min_tso_segs(SK);
}
SEC("struct_ops") void all_set_state(u64 *ctx)
{
	bbr_set_state(SK, ctx[1]);
	dctcp_state(SK, ctx[1]);
	cubictcp_state(SK, ctx[1]);
}
SEC("struct_ops") void all_pkts_acked(u64 *ctx)
{
	cubictcp_acked(SK, (const struct ack_sample *)ctx[1]);
}

SEC(".struct_ops") struct tcp_congestion_ops all_kfuncs = {
	.init = (void *)all_init,
	.in_ack_event = (void *)all_in_ack_event,
	.cong_control = (void *)all_cong_control,
	.sndbuf_expand = (void *)all_sndbuf_expand,
	.undo_cwnd = (void *)all_undo_cwnd,
	.cwnd_event = (void *)all_cwnd_event,
	.ssthresh = (void *)all_ssthresh,
	.min_tso_segs = (void *)all_min_tso_segs,
	.set_state = (void *)all_set_state,
	.pkts_acked = (void *)all_pkts_acked,
	.name = "all_kfuncs",
};

SEC("struct_ops") void only_init(u64 *ctx)
{
	cubictcp_init(SK);
}
SEC("struct_ops") u32 only_ssthresh(u64 *ctx)
{
	return cubictcp_recalc_ssthresh(SK);
}
SEC("struct_ops") u32 only_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd(SK);
}
SEC("struct_ops") void only_set_state(u64 *ctx)
{
	cubictcp_state(SK, ctx[1]);
}
SEC("struct_ops") void only_cwnd_event(u64 *ctx)
{
	cubictcp_cwnd_event(SK, ctx[1]);
}

SEC(".struct_ops") struct tcp_congestion_ops kf_cubic = {
	.init = (void *)only_init,
	.ssthresh = (void *)only_ssthresh,
	.cong_avoid = (void *)all_cong_avoid,
	.set_state = (void *)only_set_state,
	.undo_cwnd = (void *)only_undo_cwnd,
	.cwnd_event = (void *)only_cwnd_event,
	.pkts_acked = (void *)all_pkts_acked,
	.name = "kf_cubic",
};
