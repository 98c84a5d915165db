/* What the examples need of Linux 6.12: types that CO-RE fits to the kernel they are loaded on, helpers, kfuncs. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define NULL ((void *)0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock {
	u32 sk_pacing_status;
	unsigned long sk_pacing_rate;
};
struct inet_sock {
	struct sock sk;
};
struct inet_connection_sock {
	struct inet_sock icsk_inet;
	u64 icsk_ca_priv[13];
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 snd_cwnd, snd_cwnd_cnt, snd_cwnd_clamp, snd_ssthresh, prior_cwnd;
	u32 snd_una, snd_nxt, srtt_us, mss_cache, packets_out;
	u32 delivered, delivered_ce;
	u8 is_cwnd_limited : 1;
};
struct ack_sample {
	u32 pkts_acked;
	s32 rtt_us;
	u32 in_flight;
};
struct bpf_dummy_ops_state {
	int val;
};
#pragma clang attribute pop

enum tcp_ca_state { TCP_CA_Open, TCP_CA_Disorder, TCP_CA_CWR, TCP_CA_Recovery, TCP_CA_Loss };
enum tcp_ca_event { CA_EVENT_TX_START, CA_EVENT_CWND_RESTART, CA_EVENT_COMPLETE_CWR, CA_EVENT_LOSS, CA_EVENT_ECN_NO_CE, CA_EVENT_ECN_IS_CE };
#define TCP_CONG_NEEDS_ECN 2
#define TCP_INFINITE_SSTHRESH 0x7fffffff

struct rate_sample;
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*set_state)(struct sock *sk, u8 new_state);
	void (*cwnd_event)(struct sock *sk, enum tcp_ca_event ev);
	void (*in_ack_event)(struct sock *sk, u32 flags);
	void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
	u32 (*min_tso_segs)(struct sock *sk);
	void (*cong_control)(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs);
	u32 (*undo_cwnd)(struct sock *sk);
	u32 (*sndbuf_expand)(struct sock *sk);
	char name[16];
	u32 flags;
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
};
struct bpf_dummy_ops {
	int (*test_1)(struct bpf_dummy_ops_state *cb);
	int (*test_2)(struct bpf_dummy_ops_state *cb, int a1, unsigned short a2, char a3, unsigned long a4);
	int (*test_sleepable)(struct bpf_dummy_ops_state *cb);
};

/* Helpers are called by number. */
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_trace_printk)(const char *fmt, u32 size, ...) = (void *)6;

/* Functions of the kernel that congestion controls may call. */
extern u32 tcp_reno_ssthresh(struct sock *sk) KSYM;
extern void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked) KSYM;
extern u32 tcp_reno_undo_cwnd(struct sock *sk) KSYM;
extern u32 tcp_slow_start(struct tcp_sock *tp, u32 acked) KSYM;
extern void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked) KSYM;

/* A bitfield of a kernel struct: where it lies, how wide it is and how it is shifted are all relocated. */
#define BITFIELD(ptr, field)                                                                        \
	({                                                                                          \
		const void *at = (const void *)(ptr) + __builtin_preserve_field_info((ptr)->field, 0); \
		u64 bits = 0;                                                                       \
		switch (__builtin_preserve_field_info((ptr)->field, 1)) {                           \
		case 1: bits = *(const u8 *)at; break;                                              \
		case 2: bits = *(const u16 *)at; break;                                             \
		case 4: bits = *(const u32 *)at; break;                                             \
		case 8: bits = *(const u64 *)at; break;                                             \
		}                                                                                   \
		bits <<= __builtin_preserve_field_info((ptr)->field, 4);                            \
		bits >> __builtin_preserve_field_info((ptr)->field, 5);                             \
	})

INLINE struct tcp_sock *tcp_of(struct sock *sk)
{
	return (struct tcp_sock *)sk;
}

/* Room for a congestion control's own state: 104 bytes. */
INLINE void *state_of(struct sock *sk)
{
	return ((struct inet_connection_sock *)sk)->icsk_ca_priv;
}

INLINE u32 max_u32(u32 a, u32 b)
{
	return a > b ? a : b;
}
