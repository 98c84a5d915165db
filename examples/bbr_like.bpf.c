/*
 * A congestion control that measures the path instead of filling it, after BBR (Cardwell et al. 2016), much reduced.
 *
 * The lesson: cong_control replaces cong_avoid and is told, with every acknowledgment, how many packets were delivered in
 * what time (struct rate_sample). The largest rate of late is the bottleneck's, the shortest round trip the path's without
 * a queue. Packets are paced at a gain times that rate (sk_pacing_rate), and the window allows two of their products. The
 * gain is above one for a round, to see whether there is more, then below one, to drain what that left in the queue.
 *
 *   trampet run bbr_like.bpf.o --link 20mbit,40ms,100p,loss=1%
 *
 * Loss alone does not slow it down: compare with reno.bpf.o on the same link. What BBR has and this has not: a phase that
 * looks for a new shortest round trip, long-term rates of policers, the model of aggregated acknowledgments.
 */
#include "kernel.h"

struct rate_sample {
	u32 prior_delivered;
	s32 delivered;
	long interval_us;
	long rtt_us;
	u32 acked_sacked;
	bool is_app_limited;
} __attribute__((preserve_access_index));

char LICENSE[] SEC("license") = "GPL";

#define UNIT 256 /* gains are in 256ths */
#define STARTUP_GAIN 739
#define CYCLE 8
#define WINDOWS 10 /* rounds for which a rate counts */
#define RATE_SHIFT 24

struct path {
	u64 rate;      /* packets a microsecond, shifted by RATE_SHIFT: the largest of late */
	u64 next_rate; /* the largest since half of the rounds ago */
	u32 min_rtt;   /* microseconds; 0: none yet */
	u32 round_end; /* tcp_sock.delivered that ends the round */
	u32 rounds;
	u64 full_rate; /* what startup has reached */
	u32 full_count;
	u8 full;
};

INLINE u32 gain_of(struct path *ca)
{
	u32 phase = ca->rounds % CYCLE;

	if (!ca->full)
		return STARTUP_GAIN;
	return phase == 0 ? UNIT * 5 / 4 : phase == 1 ? UNIT * 3 / 4 : UNIT;
}

/* Startup ends when three rounds brought less than a quarter more. */
INLINE void look_for_end_of_startup(struct path *ca)
{
	if (ca->full)
		return;
	if (ca->rate * 4 >= ca->full_rate * 5) {
		ca->full_rate = ca->rate;
		ca->full_count = 0;
		return;
	}
	if (++ca->full_count >= 3)
		ca->full = 1;
}

SEC("struct_ops")
void bbr_like_init(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct path *ca = state_of(sk);

	ca->rate = 0;
	ca->next_rate = 0;
	ca->min_rtt = tcp_of(sk)->srtt_us >> 3;
	ca->round_end = tcp_of(sk)->delivered;
	ca->rounds = 0;
	ca->full_rate = 0;
	ca->full_count = 0;
	ca->full = 0;
	/* SK_PACING_NEEDED: the stack spreads the packets. */
	sk->sk_pacing_status = 1;
}

SEC("struct_ops")
void bbr_like_cong_control(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tp = tcp_of(sk);
	struct path *ca = state_of(sk);
	const struct rate_sample *rs = (const void *)ctx[3];
	s64 interval = rs->interval_us;
	u64 rate, bdp;
	u32 window;

	if (rs->rtt_us > 0 && (!ca->min_rtt || (u32)rs->rtt_us < ca->min_rtt))
		ca->min_rtt = rs->rtt_us;
	if (rs->delivered <= 0 || interval <= 0)
		return;
	rate = ((u64)(u32)rs->delivered << RATE_SHIFT) / (u64)interval;
	/* What an application that sends little reaches is no sign of a slower path. */
	if (!rs->is_app_limited || rate > ca->rate) {
		if (rate > ca->rate)
			ca->rate = rate;
		if (rate > ca->next_rate)
			ca->next_rate = rate;
	}
	if ((s32)(rs->prior_delivered - ca->round_end) >= 0) {
		ca->round_end = tp->delivered;
		ca->rounds++;
		look_for_end_of_startup(ca);
		if (ca->rounds % WINDOWS == 0) {
			ca->rate = ca->next_rate;
			ca->next_rate = rate;
		}
	}
	sk->sk_pacing_rate = ((ca->rate * tp->mss_cache * gain_of(ca) >> 8) * 1000000) >> RATE_SHIFT;
	bdp = (ca->rate * ca->min_rtt) >> RATE_SHIFT;
	window = max_u32((ca->full ? 2 : 3) * (u32)bdp, 4);
	/* Grow no faster than packets arrive; shrink at once when the pipe is known. */
	if (ca->full || tp->snd_cwnd > window)
		tp->snd_cwnd = ca->full ? window : max_u32(window, 10);
	else
		tp->snd_cwnd += rs->acked_sacked;
}

SEC("struct_ops")
u32 bbr_like_ssthresh(u64 *ctx)
{
	return tcp_of((struct sock *)ctx[0])->snd_ssthresh;
}

SEC("struct_ops")
u32 bbr_like_undo_cwnd(u64 *ctx)
{
	return tcp_of((struct sock *)ctx[0])->snd_cwnd;
}

SEC(".struct_ops")
struct tcp_congestion_ops bbr_like = {
	.init = (void *)bbr_like_init,
	.cong_control = (void *)bbr_like_cong_control,
	.ssthresh = (void *)bbr_like_ssthresh,
	.undo_cwnd = (void *)bbr_like_undo_cwnd,
	.name = "ex_bbr_like",
};
