/*
 * Helpers and maps of congestion controls for test/kernel/helpers.test.ts: `init` and timers write what they see into `state`.
 * Build: clang -O2 -g -target bpf -mcpu=v3 -I../../examples -c tcp_helpers.bpf.c -o tcp_helpers.bpf.o; llvm-strip -g
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define UINT(name, val) int(*name)[val]
#define MAP_TYPE(n) UINT(type, n)
#define F_NO_PREALLOC 1

struct bpf_map;
struct bpf_spin_lock { u32 val; };
struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_dynptr { u64 opaque[2]; } __attribute__((aligned(8)));

static void *(*const map_lookup)(void *, const void *) = (void *)1;
static long (*const map_update)(void *, const void *, const void *, u64) = (void *)2;
static long (*const map_delete)(void *, const void *) = (void *)3;
static u32 (*const get_prandom_u32)(void) = (void *)7;
static u32 (*const get_smp_processor_id)(void) = (void *)8;
static long (*const setsockopt)(void *, int, int, void *, int) = (void *)49;
static long (*const getsockopt)(void *, int, int, void *, int) = (void *)57;
static long (*const map_push)(void *, const void *, u64) = (void *)87;
static long (*const map_pop)(void *, void *) = (void *)88;
static long (*const map_peek)(void *, void *) = (void *)89;
static void (*const spin_lock)(void *) = (void *)93;
static void (*const spin_unlock)(void *) = (void *)94;
static long (*const strtol)(const char *, u64, u64, s64 *) = (void *)105;
static long (*const strtoul)(const char *, u64, u64, u64 *) = (void *)106;
static void *(*const sk_storage_get)(void *, void *, void *, u64) = (void *)107;
static long (*const sk_storage_delete)(void *, void *) = (void *)108;
static long (*const send_ack)(void *, u32) = (void *)116;
static u64 (*const jiffies64)(void) = (void *)118;
static long (*const ringbuf_output)(void *, void *, u64, u64) = (void *)130;
static void *(*const ringbuf_reserve)(void *, u64, u64) = (void *)131;
static void (*const ringbuf_submit)(void *, u64) = (void *)132;
static void (*const ringbuf_discard)(void *, u64) = (void *)133;
static u64 (*const ringbuf_query)(void *, u64) = (void *)134;
static long (*const for_each_map_elem)(void *, void *, void *, u64) = (void *)164;
static long (*const snprintf)(char *, u32, const char *, u64 *, u32) = (void *)165;
static long (*const timer_init)(struct bpf_timer *, void *, u64) = (void *)169;
static long (*const timer_set_callback)(struct bpf_timer *, void *) = (void *)170;
static long (*const timer_start)(struct bpf_timer *, u64, u64) = (void *)171;
static long (*const timer_cancel)(struct bpf_timer *) = (void *)172;
static long (*const loop)(u32, void *, void *, u64) = (void *)181;
static long (*const strncmp_)(const char *, u32, const char *) = (void *)182;
static void *(*const lookup_percpu)(void *, const void *, u32) = (void *)195;

static long (*const ringbuf_reserve_dynptr)(void *, u32, u64, struct bpf_dynptr *) = (void *)198;
static void (*const ringbuf_submit_dynptr)(struct bpf_dynptr *, u64) = (void *)199;
static void (*const ringbuf_discard_dynptr)(struct bpf_dynptr *, u64) = (void *)200;
static long (*const dynptr_read)(void *, u32, struct bpf_dynptr *, u32, u64) = (void *)201;
static long (*const dynptr_write)(struct bpf_dynptr *, u32, void *, u32, u64) = (void *)202;
static void *(*const dynptr_data)(struct bpf_dynptr *, u32, u32) = (void *)203;

#define KEYED(map, kind, entries, K, V, fl)                                                                           \
	struct {                                                                                                     \
		MAP_TYPE(kind);                                                                                      \
		UINT(max_entries, entries);                                                                          \
		UINT(map_flags, fl);                                                                                 \
		K *key;                                                                                              \
		V *value;                                                                                            \
	} map SEC(".maps")
#define KEYLESS(map, kind, entries, V)                                                                                \
	struct {                                                                                                     \
		MAP_TYPE(kind);                                                                                      \
		UINT(max_entries, entries);                                                                          \
		V *value;                                                                                            \
	} map SEC(".maps")

struct timed {
	u64 fired;
	struct bpf_timer timer;
	u64 at;
};
struct locked {
	u64 a;
	struct bpf_spin_lock lock;
	u64 b;
};
struct prefix {
	u32 length;
	u8 data[4];
};

KEYED(hash, 1, 2, u32, u64, 0);
KEYED(lru, 9, 2, u32, u64, 0);
KEYED(percpu, 6, 2, u32, u64, 0);
KEYED(percpu_hash, 5, 2, u32, u64, 0);
KEYED(trie, 11, 4, struct prefix, u64, F_NO_PREALLOC);
KEYED(timers, 2, 2, u32, struct timed, 0);
KEYED(hash_timers, 1, 2, u64, struct timed, 0);
KEYED(locks, 2, 1, u32, struct locked, 0);
KEYED(storage, 24, 0, int, u64, F_NO_PREALLOC);
KEYLESS(queue, 22, 2, u32);
KEYLESS(stack, 23, 2, u32);
KEYLESS(bloom, 30, 100, u32);

struct inner {
	MAP_TYPE(2);
	UINT(max_entries, 2);
	u32 *key;
	u64 *value;
};
struct inner inner_a SEC(".maps");
struct inner inner_b SEC(".maps");
struct {
	MAP_TYPE(12);
	UINT(max_entries, 3);
	u32 *key;
	struct inner *values[];
} outer SEC(".maps") = { .values = { &inner_a, 0, &inner_b } };

struct {
	MAP_TYPE(27);
	UINT(max_entries, 4096);
} ring SEC(".maps");

struct {
	s64 seen[128];
	u32 next, in_release;
	char fallback[16];
} state;

#define SEE(value)                                                                                                    \
	do {                                                                                                         \
		s64 it = (s64)(value);                                                                               \
		u32 i = state.next++;                                                                                \
		if (i < 128)                                                                                         \
			state.seen[i] = it;                                                                          \
	} while (0)
#define VALUE(pointer)                                                                                                \
	({                                                                                                           \
		u64 *at = (pointer);                                                                                 \
		at ? (s64)*at : -1;                                                                                  \
	})

static long count_elem(void *map, u32 *key, u64 *value, u64 *sum)
{
	*sum += *key * 100 + *value;
	return 0;
}

static long stop_at_five(u32 i, u64 *sum)
{
	*sum += i;
	return i == 5;
}

NOINLINE static void maps(void)
{
	u64 value = 7, sum = 0;
	u32 key __attribute__((aligned(8))) = 1; /* the verifier knows spills of whole slots alone */

	SEE(map_update(&hash, &key, &value, 2)); /* 0: BPF_EXIST of nothing */
	SEE(map_update(&hash, &key, &value, 1));
	SEE(map_update(&hash, &key, &value, 1)); /* 2: BPF_NOEXIST of what is there */
	SEE(map_update(&hash, &key, &value, 4)); /* 3: BPF_F_LOCK without a lock */
	key = 2, value = 8;
	SEE(map_update(&hash, &key, &value, 0));
	key = 3;
	SEE(map_update(&hash, &key, &value, 0)); /* 5: full */
	SEE(for_each_map_elem(&hash, count_elem, &sum, 0));
	SEE(sum); /* 7: 107 + 208 */
	SEE(map_delete(&hash, &key));
	key = 2;
	u64 *old = map_lookup(&hash, &key);
	value = 9;
	map_update(&hash, &key, &value, 0);
	SEE(VALUE(old)); /* 9: the old element has the old value */
	SEE(VALUE(map_lookup(&hash, &key)));
	SEE(map_delete(&hash, &key));

	for (u32 round = 0; round < 3; round++) {
		key = round;
		map_update(&lru, &key, &value, 0);
		if (round == 1) {
			u32 first = 0;
			map_lookup(&lru, &first);
		}
	}
	key = 0;
	SEE(VALUE(map_lookup(&lru, &key))); /* 12: was used, stays */
	key = 1;
	SEE(VALUE(map_lookup(&lru, &key))); /* 13: gone */

	key = 1, value = 11;
	SEE(map_update(&percpu, &key, &value, 0));
	SEE(VALUE(map_lookup(&percpu, &key)));
	SEE(VALUE(lookup_percpu(&percpu, &key, 0)));
	SEE(VALUE(lookup_percpu(&percpu, &key, 1))); /* 17: no such CPU */
	SEE(map_update(&percpu_hash, &key, &value, 0));
	SEE(VALUE(map_lookup(&percpu_hash, &key)));
}

NOINLINE static void more_maps(void)
{
	struct prefix net = { 8, { 10 } }, host = { 32, { 10, 1, 2, 3 } };
	u64 value = 8;
	u32 key, one = 1, two = 2, three = 3, out = 99;

	SEE(map_update(&trie, &net, &value, 0)); /* 20 */
	net.length = 16, net.data[1] = 1, value = 16;
	SEE(map_update(&trie, &net, &value, 0));
	SEE(VALUE(map_lookup(&trie, &host))); /* 22: the longest */
	host.data[1] = 9;
	SEE(VALUE(map_lookup(&trie, &host)));
	host.data[0] = 11;
	SEE(VALUE(map_lookup(&trie, &host)));
	net.length = 33;
	SEE(map_update(&trie, &net, &value, 0)); /* 25 */
	net.length = 16;
	SEE(map_delete(&trie, &net));
	SEE(map_delete(&trie, &net));

	SEE(map_pop(&queue, &out)); /* 28: empty */
	SEE(out);
	map_push(&queue, &one, 0);
	map_push(&queue, &two, 0);
	SEE(map_push(&queue, &three, 0)); /* 30: full */
	SEE(map_push(&queue, &three, 2)); /* BPF_EXIST: the oldest goes */
	SEE(map_push(&queue, &three, 1)); /* 32: BPF_NOEXIST makes no sense */
	map_peek(&queue, &out);
	SEE(out);
	map_pop(&queue, &out);
	SEE(map_pop(&queue, &out));
	SEE(out); /* 35 */
	map_push(&stack, &one, 0);
	map_push(&stack, &two, 0);
	map_pop(&stack, &out);
	SEE(out); /* 36 */

	SEE(map_push(&bloom, &one, 0));
	SEE(map_peek(&bloom, &one));
	SEE(map_peek(&bloom, &two)); /* 39 */

	key = 0;
	void *inner = map_lookup(&outer, &key);
	if (inner) {
		value = 55;
		map_update(inner, &one, &value, 0);
		SEE(VALUE(map_lookup(inner, &one))); /* 40 */
	}
	SEE(VALUE(map_lookup(&inner_a, &one)));
	SEE(VALUE(map_lookup(&inner_b, &one)));
	key = 1;
	SEE(map_lookup(&outer, &key) != NULL); /* 43 */
	key = 2;
	SEE(map_lookup(&outer, &key) != NULL);
}

NOINLINE static void rings(void)
{
	struct bpf_dynptr dynptr;
	u64 data[2] = { 1, 2 };
	u32 word = 0x01020304, back = 0;

	SEE(ringbuf_output(&ring, data, 16, 0)); /* 45 */
	SEE(ringbuf_output(&ring, data, 16, 4)); /* 46: no such flag */
	u64 *record = ringbuf_reserve(&ring, 8, 0);
	if (record) {
		*record = 33;
		ringbuf_submit(record, 0);
	}
	record = ringbuf_reserve(&ring, 8, 0);
	if (record)
		ringbuf_discard(record, 0);
	SEE(ringbuf_query(&ring, 0)); /* 47: 24 + 16 + 16 wait, unless somebody reads */
	SEE(ringbuf_query(&ring, 1));
	SEE(ringbuf_query(&ring, 3));
	record = ringbuf_reserve(&ring, 4096, 0);
	SEE((u64)record); /* 50: never fits */
	if (record)
		ringbuf_discard(record, 0);
	SEE(ringbuf_reserve_dynptr(&ring, 12, 0, &dynptr));
	SEE(dynptr_write(&dynptr, 8, &word, 4, 0));
	SEE(dynptr_write(&dynptr, 9, &word, 4, 0)); /* 53: beyond its end */
	SEE(dynptr_read(&back, 4, &dynptr, 8, 0));
	SEE(back);
	u8 *inside = dynptr_data(&dynptr, 8, 4);
	SEE(inside ? inside[0] : -1); /* 56 */
	ringbuf_submit_dynptr(&dynptr, 0);
	SEE(ringbuf_reserve_dynptr(&ring, 12, 1, &dynptr)); /* 57: no flags */
	ringbuf_discard_dynptr(&dynptr, 0);
}

NOINLINE static void words(struct sock *sk)
{
	char text[16] = "", name[16] = "";
	u64 args[2] = { 42, (u64)-1 }, unsigned_value = 0, sum = 0;
	s64 value = 0;
	int number = 0;

	SEE(snprintf(text, sizeof(text), "%d %x", args, sizeof(args))); /* 58 */
	SEE(strncmp_(text, 3, "42"));
	SEE(strtol(" -0x10", 7, 0, &value));
	SEE(value); /* 61 */
	SEE(strtoul("-1", 3, 10, &unsigned_value));
	SEE(strtoul("17z", 4, 8, &unsigned_value));
	SEE(unsigned_value);
	SEE(loop(10, stop_at_five, &sum, 0)); /* 65 */
	SEE(sum);
	SEE(get_smp_processor_id());
	SEE(jiffies64() > 0);
	SEE(get_prandom_u32() != get_prandom_u32());
	u64 *stored = sk_storage_get(&storage, sk, &sum, 1); /* BPF_SK_STORAGE_GET_F_CREATE */
	SEE(VALUE(stored)); /* 70 */
	SEE(getsockopt(sk, 6, 13, name, sizeof(name)));
	SEE(strncmp_(name, 8, "helpers"));
	number = 100;
	SEE(setsockopt(sk, 6, 1002, &number, sizeof(number))); /* TCP_BPF_SNDCWND_CLAMP */
	SEE(tcp_of(sk)->snd_cwnd_clamp);
	SEE(setsockopt(sk, 6, 9999, &number, sizeof(number))); /* 75 */
	SEE(setsockopt(sk, 6, 1002, &number, 2));
	SEE(setsockopt(sk, 6, 13, "cdg", 4)); /* 77 */
	SEE(send_ack(sk, 1));
}

static int on_array(void *map, u32 *key, struct timed *value)
{
	value->fired++;
	value->at = bpf_ktime_get_ns();
	SEE(timer_cancel(&value->timer)); /* its own: -EDEADLK */
	if (value->fired < 3)
		timer_start(&value->timer, 50000000, 0);
	return 0;
}

static int on_hash(void *map, u64 *key, struct timed *value)
{
	value->fired += *key;
	return 0;
}

NOINLINE static void arm(void)
{
	struct timed zero = {};
	struct locked fresh = { 5, {}, 6 };
	u32 index = 0;
	u64 key = 1000;

	struct timed *value = map_lookup(&timers, &index);
	if (value) {
		SEE(timer_start(&value->timer, 1, 0)); /* 79: not initialised */
		SEE(timer_init(&value->timer, &timers, 9));
		SEE(timer_init(&value->timer, &timers, 1));
		SEE(timer_init(&value->timer, &timers, 1));
		SEE(timer_start(&value->timer, 1, 0)); /* 83: no callback */
		SEE(timer_set_callback(&value->timer, on_array));
		SEE(timer_start(&value->timer, 100000000, 0)); /* 85 */
	}
	map_update(&hash_timers, &key, &zero, 0);
	value = map_lookup(&hash_timers, &key);
	if (value) {
		timer_init(&value->timer, &hash_timers, 1);
		timer_set_callback(&value->timer, on_hash);
		timer_start(&value->timer, 1000, 0);
	}
	key = 2000;
	map_update(&hash_timers, &key, &zero, 0);
	value = map_lookup(&hash_timers, &key);
	if (value) {
		timer_init(&value->timer, &hash_timers, 1);
		timer_set_callback(&value->timer, on_hash);
		timer_start(&value->timer, 1000, 0);
		SEE(timer_cancel(&value->timer)); /* 86: was armed */
		SEE(timer_cancel(&value->timer));
	}
	struct locked *locked = map_lookup(&locks, &index);
	if (locked) {
		spin_lock(&locked->lock);
		locked->a = 1;
		spin_unlock(&locked->lock);
	}
	SEE(map_update(&locks, &index, &fresh, 4)); /* 88: BPF_F_LOCK */
	if (locked)
		SEE(locked->a * 10 + locked->b);
}

SEC("struct_ops")
void helpers_init(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];

	if (state.fallback[0]) {
		SEE(setsockopt(sk, 6, 13, state.fallback, sizeof(state.fallback)));
		return;
	}
	maps();
	more_maps();
	rings();
	words(sk);
	arm();
}

SEC("struct_ops")
void helpers_release(u64 *ctx)
{
	state.in_release++;
	sk_storage_delete(&storage, (struct sock *)ctx[0]);
}

SEC("struct_ops")
u32 helpers_ssthresh(u64 *ctx)
{
	return tcp_reno_ssthresh((struct sock *)ctx[0]);
}

SEC("struct_ops")
void helpers_cong_avoid(u64 *ctx)
{
	u64 record = ctx[2];

	ringbuf_output(&ring, &record, 8, 0);
	tcp_reno_cong_avoid((struct sock *)ctx[0], ctx[1], ctx[2]);
}

SEC("struct_ops")
u32 helpers_undo_cwnd(u64 *ctx)
{
	return tcp_reno_undo_cwnd((struct sock *)ctx[0]);
}

SEC(".struct_ops")
struct tcp_congestion_ops helpers = {
	.init = (void *)helpers_init,
	.release = (void *)helpers_release,
	.ssthresh = (void *)helpers_ssthresh,
	.cong_avoid = (void *)helpers_cong_avoid,
	.undo_cwnd = (void *)helpers_undo_cwnd,
	.name = "helpers",
};
