/*
 * Congestion control members with a mistake each, for test/cli/verify.test.ts:
 *   clang -O2 -g -target bpf -mcpu=v3 -ffile-prefix-map=$PWD/= -fdebug-compilation-dir=. -c refused.bpf.c -o refused.bpf.o
 *   llvm-strip -g refused.bpf.o
 */
#include "../../examples/kernel.h"

char LICENSE[] SEC("license") = "GPL";

static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) = (void *)107;
static long (*const bpf_override_return)(void *regs, u64 rc) = (void *)58;

struct state {
	u32 rounds;
	u32 history[8];
	u64 started;
};

struct {
	int (*type)[24];
	int (*map_flags)[1];
	int *key;
	struct state *value;
} states SEC(".maps");

SEC("struct_ops")
void no_null_check(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct state *st = bpf_sk_storage_get(&states, sk, NULL, 1);

	st->rounds = 0;
}

SEC("struct_ops")
void index_unchecked(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct tcp_sock *tp = tcp_of(sk);
	struct state *st = bpf_sk_storage_get(&states, sk, NULL, 1);
	u32 i;

	if (!st)
		return;
	i = tp->snd_cwnd;
	st->rounds++;
	st->history[i] = ctx[2];
}

SEC("struct_ops")
u32 writes_snd_una(u64 *ctx)
{
	struct tcp_sock *tp = tcp_of((struct sock *)ctx[0]);
	u32 half = tp->snd_cwnd >> 1;

	tp->snd_una = 0;
	return half < 2 ? 2 : half;
}

/* Together more than the 512 bytes that there are. */
static NOINLINE u32 deeper(u32 x, u32 level)
{
	volatile u32 space[36];

	space[x & 31] = level;
	return space[level & 31];
}

static NOINLINE u32 deep(u32 x)
{
	volatile u32 space[100];

	space[x & 63] = x;
	return deeper(x, 3) + space[x & 31];
}

SEC("struct_ops")
u32 too_much_stack(u64 *ctx)
{
	return deep(tcp_of((struct sock *)ctx[0])->snd_cwnd);
}

SEC("struct_ops")
void wrong_helper(u64 *ctx)
{
	bpf_override_return(ctx, 0);
}

SEC("struct_ops")
void past_state(u64 *ctx)
{
	u64 *own = state_of((struct sock *)ctx[0]);

	own[13] = ctx[1];
}

SEC(".struct_ops")
struct tcp_congestion_ops refused = {
	.init = (void *)no_null_check,
	.cong_avoid = (void *)index_unchecked,
	.ssthresh = (void *)writes_snd_una,
	.undo_cwnd = (void *)too_much_stack,
	.set_state = (void *)wrong_helper,
	.cwnd_event = (void *)past_state,
	.name = "ex_refused",
};
