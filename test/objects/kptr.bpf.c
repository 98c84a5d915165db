/*
 * A congestion control that keeps an object of its own in a map, for test/kernel/helpers.test.ts: the counter of losses goes
 * from object to object. Build: clang -O2 -g -target bpf -mcpu=v3 -I../../examples -c kptr.bpf.c -o kptr.bpf.o; llvm-strip -g
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define UINT(name, val) int(*name)[val]
#define __kptr __attribute__((btf_type_tag("kptr")))

extern void *bpf_obj_new_impl(u64 local_type_id, void *meta) KSYM;
extern void bpf_obj_drop_impl(void *object, void *meta) KSYM;
static void *(*const map_lookup)(void *, const void *) = (void *)1;
static void *(*const kptr_xchg)(void *, void *) = (void *)194;

struct losses {
	u64 count;
	u64 last;
};
struct slot {
	struct losses __kptr *losses;
	u64 seen;
};
struct {
	UINT(type, 2);
	UINT(max_entries, 1);
	u32 *key;
	struct slot *value;
} slots SEC(".maps");

SEC("struct_ops")
u32 kptr_ssthresh(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct losses *fresh = NULL, *old;
	u32 zero = 0;
	struct slot *slot = map_lookup(&slots, &zero);

	if (!slot)
		return 2;
	fresh = bpf_obj_new_impl(__builtin_btf_type_id(*fresh, 0), NULL);
	if (!fresh)
		return 2;
	old = kptr_xchg(&slot->losses, NULL);
	fresh->count = 1;
	if (old) {
		fresh->count = old->count + 1;
		bpf_obj_drop_impl(old, NULL);
	}
	slot->seen = fresh->count;
	old = kptr_xchg(&slot->losses, fresh);
	if (old)
		bpf_obj_drop_impl(old, NULL);
	return tcp_reno_ssthresh(sk);
}

SEC("struct_ops")
void kptr_cong_avoid(u64 *ctx)
{
	tcp_reno_cong_avoid((struct sock *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 kptr_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops")
struct tcp_congestion_ops kptr = {
	.ssthresh = (void *)kptr_ssthresh,
	.cong_avoid = (void *)kptr_cong_avoid,
	.undo_cwnd = (void *)kptr_undo_cwnd,
	.name = "kptr",
};
