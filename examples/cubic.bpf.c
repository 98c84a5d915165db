/*
 * CUBIC (RFC 9438) in integer arithmetic: after a loss the window returns to where it was along a cubic curve of time.
 *
 *   W(t) = C (t - K)^3 + W_max,   K = cbrt((W_max - cwnd) / C),   C = 0.4,   beta = 0.7
 *
 * Time is in milliseconds, windows in packets. It keeps its state in the socket's icsk_ca_priv, and shows a subprogram,
 * global data, and a bitfield read through CO-RE.
 *
 *   trampet run cubic.bpf.o --all-cfi
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define BETA 717 /* 0.7 of 1024 */

struct cubic {
	u32 w_max;     /* window at the last loss */
	u32 origin;    /* window that the curve returns to */
	u32 k_ms;      /* time from the epoch to the origin */
	u32 w_reno;    /* what Reno would have, times 1024 */
	u64 epoch_ms;  /* start of the curve, 0 before */
	u32 min_rtt_us;
	u32 in_loss;
};

u64 losses = 0;
u32 w_max_seen = 0;

/*
 * Cube root, rounded down: Newton's method from above, 48 steps for any x. A search bit by bit would have the verifier
 * walk every combination of bits, which is more than it does.
 */
static NOINLINE u32 cube_root(u64 x)
{
	u64 y = 1ULL << 22;

	if (!x)
		return 0;
	for (int i = 0; i < 48; i++) {
		u64 next = (2 * y + x / (y * y)) / 3;

		if (next < y)
			y = next;
	}
	return y;
}

INLINE u64 now_ms(void)
{
	return bpf_ktime_get_ns() / 1000000;
}

/* The curve begins anew at the next acknowledgment. */
INLINE void end_epoch(struct cubic *ca)
{
	ca->epoch_ms = 0;
}

SEC("struct_ops")
void cubic_init(u64 *ctx)
{
	struct cubic *ca = state_of((struct sock *)ctx[0]);

	ca->w_max = 0;
	ca->origin = 0;
	ca->min_rtt_us = ~0U;
	ca->in_loss = 0;
	end_epoch(ca);
}

SEC("struct_ops")
u32 cubic_ssthresh(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct cubic *ca = state_of(sk);
	u32 cwnd = tcp_of(sk)->snd_cwnd;

	/* Fast convergence: whoever lost below the old maximum leaves room for others. */
	ca->w_max = cwnd < ca->w_max ? cwnd * (1024 + BETA) / 2048 : cwnd;
	end_epoch(ca);
	losses++;
	w_max_seen = max_u32(w_max_seen, ca->w_max);
	return max_u32(cwnd * BETA / 1024, 2);
}

INLINE void start_epoch(struct cubic *ca, u32 cwnd, u64 now)
{
	ca->epoch_ms = now;
	ca->w_reno = cwnd * 1024;
	if (cwnd < ca->w_max) {
		/* (W_max - cwnd) / 0.4 seconds^3, in ms^3 */
		ca->k_ms = cube_root((u64)(ca->w_max - cwnd) * 2500000000ULL);
		ca->origin = ca->w_max;
	} else {
		ca->k_ms = 0;
		ca->origin = cwnd;
	}
}

/* Packets to be acknowledged for each packet that the window grows by. */
INLINE u32 growth(struct cubic *ca, u32 cwnd, u32 acked, u64 now)
{
	u64 t, distance, delta;
	u32 target, reno, wait;

	if (!ca->epoch_ms)
		start_epoch(ca, cwnd, now);
	/* Where the curve will be one round trip ahead. */
	t = now + ca->min_rtt_us / 1000 - ca->epoch_ms;
	distance = t < ca->k_ms ? ca->k_ms - t : t - ca->k_ms;
	if (distance > 300000)
		distance = 300000;
	delta = distance * distance / 1000 * distance * 4 / 10000000;
	if (t < ca->k_ms)
		target = delta < ca->origin ? ca->origin - (u32)delta : 1;
	else
		target = ca->origin + (u32)delta;
	wait = target > cwnd ? cwnd / (target - cwnd) : 100 * cwnd;
	/* Never slower than Reno would be: 3 (1 - beta) / (1 + beta) packets a round trip. */
	ca->w_reno += (u64)acked * 1024 * 542 / 1024 / max_u32(cwnd, 1);
	reno = ca->w_reno / 1024;
	if (reno > cwnd && wait > cwnd / (reno - cwnd))
		wait = cwnd / (reno - cwnd);
	return max_u32(wait, 2);
}

SEC("struct_ops")
void cubic_cong_avoid(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tp = tcp_of(sk);
	struct cubic *ca = state_of(sk);
	u32 acked = ctx[2];

	if (!BITFIELD(tp, is_cwnd_limited))
		return;
	if (tp->snd_cwnd < tp->snd_ssthresh) {
		acked = tcp_slow_start(tp, acked);
		if (!acked)
			return;
	}
	tcp_cong_avoid_ai(tp, growth(ca, tp->snd_cwnd, acked, now_ms()), acked);
}

SEC("struct_ops")
void cubic_set_state(u64 *ctx)
{
	struct cubic *ca = state_of((struct sock *)ctx[0]);
	u8 state = ctx[1];

	ca->in_loss = state == TCP_CA_Loss;
	if (ca->in_loss) {
		ca->w_max = 0;
		end_epoch(ca);
	}
}

SEC("struct_ops")
void cubic_cwnd_event(u64 *ctx)
{
	/* The time before the first packet after a pause is no time of growth. */
	if (ctx[1] == CA_EVENT_TX_START)
		end_epoch(state_of((struct sock *)ctx[0]));
}

SEC("struct_ops")
void cubic_pkts_acked(u64 *ctx)
{
	struct cubic *ca = state_of((struct sock *)ctx[0]);
	const struct ack_sample *sample = (const struct ack_sample *)ctx[1];

	if (sample->rtt_us > 0 && (u32)sample->rtt_us < ca->min_rtt_us)
		ca->min_rtt_us = sample->rtt_us;
}

SEC("struct_ops")
u32 cubic_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops")
struct tcp_congestion_ops cubic = {
	.init = (void *)cubic_init,
	.ssthresh = (void *)cubic_ssthresh,
	.cong_avoid = (void *)cubic_cong_avoid,
	.set_state = (void *)cubic_set_state,
	.cwnd_event = (void *)cubic_cwnd_event,
	.pkts_acked = (void *)cubic_pkts_acked,
	.undo_cwnd = (void *)cubic_undo_cwnd,
	.name = "ex_cubic",
};
