/*
 * Two policies in one object, and replacing one by the other while sockets use it.
 *
 * A table in `.struct_ops.link` is registered by a link; the link can be given another table of the same name at any time.
 * Connections that began with the old table keep it, new ones get the new one; the old table goes when its last connection
 * does. `?` in front of a section's name: the table is made only when someone asks for it.
 *
 * Both tell of each window reduction twice: in a ring buffer, which user space reads, and in the kernel's trace.
 *
 *   trampet run aimd.bpf.o --events --record-type reduction
 *   trampet run scenarios/live-update.yaml
 */
#include "kernel.h"

#define BPF_MAP_TYPE_RINGBUF 27
#define __uint(name, value) int(*name)[value]

static void *(*const bpf_ringbuf_reserve)(void *ringbuf, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;

char LICENSE[] SEC("license") = "GPL";

/* A window reduction, as user space sees it. */
struct reduction {
	u64 ns;
	u32 from, to;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} reductions SEC(".maps");

/* Not inlined, so that its argument's type stays in the object's BTF. */
static NOINLINE void describe(struct reduction *record, u32 from, u32 to)
{
	record->ns = bpf_ktime_get_ns();
	record->from = from;
	record->to = to;
}

INLINE u32 reduce(struct sock *sk, u32 eighths)
{
	static const char format[] = "window %d -> %d";
	u32 from = tcp_of(sk)->snd_cwnd;
	u32 to = max_u32(from * eighths / 8, 2);
	struct reduction *record = bpf_ringbuf_reserve(&reductions, sizeof(*record), 0);

	if (record) {
		describe(record, from, to);
		bpf_ringbuf_submit(record, 0);
	}
	bpf_trace_printk(format, sizeof(format), from, to);
	return to;
}

SEC("struct_ops")
u32 steep_ssthresh(u64 *ctx)
{
	return reduce((struct sock *)ctx[0], 4);
}

SEC("struct_ops")
u32 gentle_ssthresh(u64 *ctx)
{
	return reduce((struct sock *)ctx[0], 7);
}

SEC("struct_ops")
void aimd_cong_avoid(u64 *ctx)
{
	tcp_reno_cong_avoid((struct sock *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 aimd_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops steep = {
	.ssthresh = (void *)steep_ssthresh,
	.cong_avoid = (void *)aimd_cong_avoid,
	.undo_cwnd = (void *)aimd_undo_cwnd,
	.name = "ex_aimd",
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops gentle = {
	.ssthresh = (void *)gentle_ssthresh,
	.cong_avoid = (void *)aimd_cong_avoid,
	.undo_cwnd = (void *)aimd_undo_cwnd,
	.name = "ex_aimd",
};
