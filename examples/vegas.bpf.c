/*
 * A congestion control that listens to delay, after Vegas (Brakmo and Peterson 1994).
 *
 * The lesson: the round-trip time says how full the bottleneck's queue is, long before it drops anything. With the shortest
 * round trip ever seen (base) and the shortest of this round (rtt), cwnd * (rtt - base) / rtt packets wait in the queue.
 * The window grows while fewer than ALPHA wait and shrinks while more than BETA do, so the flow keeps a queue of a few
 * packets instead of a full buffer.
 *
 *   trampet run vegas.bpf.o
 *
 * Against a flow that fills the buffer, Vegas gives way: it takes the other's queue for its own.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define ALPHA 2
#define BETA 4
#define GAMMA 1 /* packets in the queue that end slow start */

struct vegas {
	u32 base_rtt; /* microseconds; 0: none yet */
	u32 min_rtt;  /* of this round; 0: none yet */
	u32 samples;  /* in this round */
	u32 round_end;
};

SEC("struct_ops")
void vegas_init(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct vegas *ca = state_of(sk);

	ca->base_rtt = 0;
	ca->min_rtt = 0;
	ca->samples = 0;
	ca->round_end = tcp_of(sk)->snd_nxt;
}

SEC("struct_ops")
void vegas_pkts_acked(u64 *ctx)
{
	struct vegas *ca = state_of((struct sock *)ctx[0]);
	const struct ack_sample *sample = (const void *)ctx[1];
	s32 rtt = sample->rtt_us;

	if (rtt <= 0)
		return;
	if (!ca->base_rtt || (u32)rtt < ca->base_rtt)
		ca->base_rtt = rtt;
	if (!ca->min_rtt || (u32)rtt < ca->min_rtt)
		ca->min_rtt = rtt;
	ca->samples++;
}

SEC("struct_ops")
void vegas_cong_avoid(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tp = tcp_of(sk);
	struct vegas *ca = state_of(sk);
	u32 cwnd = tp->snd_cwnd, waiting;
	bool slow_start = cwnd < tp->snd_ssthresh;

	/* Within a round only slow start moves the window. */
	if ((s32)((u32)ctx[1] - ca->round_end) < 0) {
		if (slow_start)
			tcp_slow_start(tp, ctx[2]);
		return;
	}
	ca->round_end = tp->snd_nxt;
	/* Too few samples to tell delayed acknowledgments from a queue: do as Reno does. */
	if (ca->samples <= 2 || !ca->min_rtt) {
		tcp_reno_cong_avoid(sk, ctx[1], ctx[2]);
	} else {
		waiting = (u64)cwnd * (ca->min_rtt - ca->base_rtt) / ca->min_rtt;
		if (slow_start && waiting > GAMMA) {
			tp->snd_ssthresh = max_u32(cwnd - waiting, 2);
			tp->snd_cwnd = tp->snd_ssthresh;
		} else if (slow_start) {
			tcp_slow_start(tp, ctx[2]);
		} else if (waiting > BETA) {
			tp->snd_cwnd = max_u32(cwnd - 1, 2);
			tp->snd_ssthresh = max_u32(cwnd - 2, 2);
		} else if (waiting < ALPHA) {
			tp->snd_cwnd = cwnd + 1;
		}
	}
	ca->min_rtt = 0;
	ca->samples = 0;
}

SEC("struct_ops")
u32 vegas_ssthresh(u64 *ctx)
{
	return tcp_reno_ssthresh((struct sock *)ctx[0]);
}

SEC("struct_ops")
u32 vegas_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops")
struct tcp_congestion_ops vegas = {
	.init = (void *)vegas_init,
	.pkts_acked = (void *)vegas_pkts_acked,
	.cong_avoid = (void *)vegas_cong_avoid,
	.ssthresh = (void *)vegas_ssthresh,
	.undo_cwnd = (void *)vegas_undo_cwnd,
	.name = "ex_vegas",
};
