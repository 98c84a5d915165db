/*
 * DCTCP (RFC 8257): the window shrinks by half of the share of packets that were marked, once a round trip.
 *
 * It needs a link that marks, and says so with TCP_CONG_NEEDS_ECN.
 *
 *   trampet run dctcp.bpf.o --link 100mbit,2ms,200p,ecn=20p
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define ALPHA_ONE 1024
#define GAIN_SHIFT 4 /* g = 1/16 */

struct dctcp {
	u32 alpha;           /* running share of marked packets */
	u32 delivered;       /* tcp_sock.delivered and delivered_ce at the start of this round trip */
	u32 delivered_ce;
	u32 round_end;       /* sequence number that ends it */
	u32 loss_cwnd;
};

u32 last_alpha = 0;

INLINE void start_round(struct tcp_sock *tp, struct dctcp *ca)
{
	ca->round_end = tp->snd_nxt;
	ca->delivered = tp->delivered;
	ca->delivered_ce = tp->delivered_ce;
}

SEC("struct_ops")
void dctcp_init(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct dctcp *ca = state_of(sk);

	ca->alpha = ALPHA_ONE;
	ca->loss_cwnd = 0;
	start_round(tcp_of(sk), ca);
}

SEC("struct_ops")
u32 dctcp_ssthresh(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct dctcp *ca = state_of(sk);
	u32 cwnd = tcp_of(sk)->snd_cwnd;

	ca->loss_cwnd = cwnd;
	return max_u32(cwnd - (cwnd * ca->alpha >> 11), 2);
}

SEC("struct_ops")
void dctcp_in_ack_event(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tp = tcp_of(sk);
	struct dctcp *ca = state_of(sk);
	u32 total, marked;

	if ((s32)(tp->snd_una - ca->round_end) < 0)
		return;
	total = tp->delivered - ca->delivered;
	marked = tp->delivered_ce - ca->delivered_ce;
	ca->alpha -= ca->alpha >> GAIN_SHIFT;
	if (marked)
		ca->alpha += (marked << (10 - GAIN_SHIFT)) / max_u32(total, 1);
	if (ca->alpha > ALPHA_ONE)
		ca->alpha = ALPHA_ONE;
	last_alpha = ca->alpha;
	start_round(tp, ca);
}

SEC("struct_ops")
void dctcp_cwnd_event(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if (ctx[1] == CA_EVENT_LOSS)
		((struct dctcp *)state_of(sk))->loss_cwnd = tcp_of(sk)->snd_cwnd;
}

SEC("struct_ops")
void dctcp_set_state(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if ((u8)ctx[1] == TCP_CA_Loss)
		start_round(tcp_of(sk), state_of(sk));
}

SEC("struct_ops")
void dctcp_cong_avoid(u64 *ctx)
{
	tcp_reno_cong_avoid((struct sock *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 dctcp_undo_cwnd(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	return max_u32(tcp_of(sk)->snd_cwnd, ((struct dctcp *)state_of(sk))->loss_cwnd);
}

SEC(".struct_ops")
struct tcp_congestion_ops dctcp = {
	.init = (void *)dctcp_init,
	.ssthresh = (void *)dctcp_ssthresh,
	.in_ack_event = (void *)dctcp_in_ack_event,
	.cwnd_event = (void *)dctcp_cwnd_event,
	.set_state = (void *)dctcp_set_state,
	.cong_avoid = (void *)dctcp_cong_avoid,
	.undo_cwnd = (void *)dctcp_undo_cwnd,
	.flags = TCP_CONG_NEEDS_ECN,
	.name = "ex_dctcp",
};
