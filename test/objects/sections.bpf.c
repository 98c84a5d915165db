/* Locks, disabled interrupts, exceptions, legacy loads and hidden functions, with what a 6.18 kernel answers in the decl tags of the kernel's
 * selftests: clang -O2 -g -mcpu=v3 -target bpf -c sections.bpf.c -o sections.bpf.o (test/verifier/sections.test.ts) */
#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define TAG(text) __attribute__((btf_decl_tag("comment:test_" text)))
#define OK TAG("expect_success")
#define NO(message) TAG("expect_failure") TAG("expect_msg=0=" message)
#define KSYM extern __attribute__((section(".ksyms")))

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned char u8;
struct __sk_buff {
	u32 len;
};
struct bpf_spin_lock {
	u32 val;
};
struct guarded {
	struct bpf_spin_lock lock;
	u32 count;
};

char _license[] SEC("license") = "GPL";

struct {
	int (*type)[2];
	int (*max_entries)[4];
	u32 *key;
	struct guarded *value;
} counters SEC(".maps");

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static int (*bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static int (*bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
KSYM void bpf_local_irq_save(unsigned long *flags__irq_flag);
KSYM void bpf_local_irq_restore(unsigned long *flags__irq_flag);
KSYM void bpf_throw(u64 cookie);

static inline __attribute__((always_inline)) struct guarded *at(u32 key)
{
	return bpf_map_lookup_elem(&counters, &key);
}

OK SEC("tc") int locked(struct __sk_buff *skb)
{
	struct guarded *value = at(1);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	value->count++;
	bpf_spin_unlock(&value->lock);
	return 0;
}

NO("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region")
SEC("tc") int left_locked(struct __sk_buff *skb)
{
	struct guarded *value = at(1);

	if (value)
		bpf_spin_lock(&value->lock);
	return 0;
}

NO("function calls are not allowed while holding a lock") SEC("tc") int helper_under_lock(struct __sk_buff *skb)
{
	struct guarded *value = at(1);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	value->count = bpf_ktime_get_ns();
	bpf_spin_unlock(&value->lock);
	return 0;
}

NO("bpf_spin_unlock without taking a lock") SEC("tc") int unlocked_twice(struct __sk_buff *skb)
{
	struct guarded *value = at(1);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	bpf_spin_unlock(&value->lock);
	bpf_spin_unlock(&value->lock);
	return 0;
}

NO("bpf_spin_unlock of different lock") SEC("tc") int other_unlocked(struct __sk_buff *skb)
{
	struct guarded *one = at(1), *two = at(1);

	if (!one || !two)
		return 0;
	bpf_spin_lock(&one->lock);
	bpf_spin_unlock(&two->lock);
	return 0;
}

NO("off 4 doesn't point to 'struct bpf_spin_lock' that is at 0") SEC("tc") int no_lock(struct __sk_buff *skb)
{
	struct guarded *value = at(1);

	if (value)
		bpf_spin_lock((void *)&value->count);
	return 0;
}

NO("bpf_spin_lock cannot be accessed directly by load/store") SEC("tc") int lock_read(struct __sk_buff *skb)
{
	struct guarded *value = at(1);

	return value ? *(volatile u32 *)&value->lock.val : 0;
}

OK SEC("tc") int interrupts(struct __sk_buff *skb)
{
	unsigned long outer, inner;

	bpf_local_irq_save(&outer);
	bpf_local_irq_save(&inner);
	bpf_local_irq_restore(&inner);
	bpf_local_irq_restore(&outer);
	return 0;
}

NO("cannot restore irq state out of order, expected id=2 acquired at insn_idx={{[0-9]+}}")
SEC("tc") int interrupts_out_of_order(struct __sk_buff *skb)
{
	unsigned long outer, inner;

	bpf_local_irq_save(&outer);
	bpf_local_irq_save(&inner);
	bpf_local_irq_restore(&outer);
	bpf_local_irq_restore(&inner);
	return 0;
}

NO("BPF_EXIT instruction in main prog cannot be used inside bpf_local_irq_save-ed region")
SEC("tc") int interrupts_left_off(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	return 0;
}

NO("expected an initialized irq flag as arg#0") SEC("tc") int interrupts_never_off(struct __sk_buff *skb)
{
	unsigned long flags = 0;

	bpf_local_irq_restore(&flags);
	return 0;
}

static NOINLINE int throw_beyond(u32 limit, u32 len)
{
	if (len > limit)
		bpf_throw(len);
	return len;
}

OK SEC("tc") int thrown(struct __sk_buff *skb)
{
	return throw_beyond(100, skb->len);
}

u64 caught;

NOINLINE int catch_it(u64 cookie)
{
	caught = cookie;
	return 1;
}

OK SEC("tc") __attribute__((btf_decl_tag("exception_callback:catch_it"))) int thrown_and_caught(struct __sk_buff *skb)
{
	return throw_beyond(100, skb->len);
}

NOINLINE int catch_two(u64 cookie, u64 other)
{
	return cookie + other;
}

NO("exception cb only supports single integer argument")
SEC("tc") __attribute__((btf_decl_tag("exception_callback:catch_two"))) int caught_with_two(struct __sk_buff *skb)
{
	return throw_beyond(100, skb->len);
}

NO("insn {{[0-9]+}} cannot call exception cb directly")
SEC("tc") __attribute__((btf_decl_tag("exception_callback:catch_it"))) int callback_called(struct __sk_buff *skb)
{
	return catch_it(skb->len);
}

NO("bpf_throw cannot be used inside bpf_local_irq_save-ed region") SEC("tc") int thrown_with_interrupts_off(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	bpf_throw(1);
	bpf_local_irq_restore(&flags);
	return 0;
}

__attribute__((visibility("hidden"))) NOINLINE u64 of_caller(u64 *at)
{
	return *at;
}

/* A global function would have to check its pointer; libbpf makes one that is hidden static. */
OK SEC("tc") int hidden_function(struct __sk_buff *skb)
{
	u64 value = skb->len;

	return of_caller(&value);
}

static NOINLINE u64 legacy(struct __sk_buff *skb)
{
	u64 value;

	asm volatile("r6 = %1; r0 = *(u8 *)skb[14]; %0 = r0" : "=r"(value) : "r"(skb) : "r0", "r1", "r2", "r3", "r4", "r5", "r6");
	return value;
}

OK SEC("tc") int legacy_load(struct __sk_buff *skb)
{
	return legacy(skb) + 1;
}

NO("BPF_LD_[ABS|IND] instructions not allowed for this program type") SEC("xdp") int legacy_load_of_xdp(struct __sk_buff *ctx)
{
	return legacy(ctx);
}
