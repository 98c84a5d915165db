/* Programs with what Linux 6.18's verifier says of them, for test/verifier/access.test.ts: helper calls, callbacks,
 * functions' arguments, maps. Kernel functions are those of kernel_btf.bpf.c. */
#define SEC(name) __attribute__((section(name), used))
#define TAG(text) __attribute__((btf_decl_tag("comment:test_" text)))
#define ACCEPTED TAG("expect_success")
#define REFUSED(words) TAG("expect_failure") TAG("expect_msg=0=" words)
#define KSYM __attribute__((section(".ksyms")))
#define CONTAINS(text) __attribute__((btf_decl_tag("contains:" text)))
#define KPTR __attribute__((btf_type_tag("kptr")))
#define PRIVATE(name) SEC(".data." name) __attribute__((visibility("hidden"), aligned(8)))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]
#define offsetof(type, member) __builtin_offsetof(type, member)
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - offsetof(type, member)))
#define NULL ((void *)0)

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned char u8;
typedef _Bool bool;

struct __sk_buff { u32 len, pkt_type, mark, queue_mapping, protocol; };
struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_wq { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_spin_lock { u32 val; };
struct bpf_dynptr { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_head { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_sock { u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4; };
struct bpf_sock_tuple { u32 words[3]; };
struct task_struct { int pid; struct task_struct *parent; char *text; } __attribute__((preserve_access_index));

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static long (*const bpf_skb_pull_data)(void *skb, u32 len) = (void *)39;
static struct bpf_sock *(*const bpf_sk_lookup_tcp)(void *ctx, void *tuple, u32 size, u64 netns, u64 flags) = (void *)84;
static long (*const bpf_sk_release)(void *sock) = (void *)86;
static long (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static struct bpf_sock *(*const bpf_sk_fullsock)(void *sk) = (void *)95;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *ctx, u64 flags) = (void *)164;
static long (*const bpf_snprintf)(char *to, u32 size, const char *format, u64 *args, u32 bytes) = (void *)165;
static long (*const bpf_timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*const bpf_loop)(u32 n, void *callback, void *ctx, u64 flags) = (void *)181;
static long (*const bpf_strncmp)(const char *s1, u32 size, const char *s2) = (void *)182;
static int (*const bpf_set_retval)(int value) = (void *)187;
static void *(*const bpf_task_storage_get)(void *map, void *task, void *value, u64 flags) = (void *)156;
static void *(*const bpf_get_current_task_btf)(void) = (void *)158;
static void *(*const bpf_kptr_xchg)(void *field, void *ptr) = (void *)194;
static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*const bpf_dynptr_read)(void *dst, u32 len, const struct bpf_dynptr *src, u32 offset, u64 flags) = (void *)201;
static void *(*const bpf_dynptr_data)(const struct bpf_dynptr *ptr, u32 offset, u32 len) = (void *)203;

extern struct task_struct *bpf_task_from_pid(int pid) KSYM;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) KSYM;
extern void bpf_task_release(struct task_struct *p) KSYM;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) KSYM;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 size) KSYM;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 size) KSYM;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *p) KSYM;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone) KSYM;
extern void *bpf_obj_new_impl(u64 type, void *meta) KSYM;
extern void bpf_obj_drop_impl(void *object, void *meta) KSYM;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) KSYM;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) KSYM;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off) KSYM;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) KSYM;
extern int bpf_wq_init(struct bpf_wq *wq, void *map, u32 flags) KSYM;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (callback)(void *map, int *key, void *value), u32 flags, void *aux) KSYM;
extern int bpf_copy_from_user_str(void *dst, u32 size, const void *from, u64 flags) KSYM;
extern int bpf_strlen(const char *s) KSYM;

char _license[] SEC("license") = "GPL";

struct timed { u64 count; struct bpf_timer timer; struct bpf_wq work; };
struct node { u64 key; struct bpf_list_node list; };
struct leaf { u64 key; struct bpf_rb_node tree; };
struct owner { struct task_struct KPTR *task; };
struct page_of_user { int asked, answered; } *page_type;
struct shared { struct page_of_user __attribute__((btf_type_tag("uptr"))) *page; };
struct locked { struct bpf_spin_lock lock; u32 value; };

struct { __uint(type, 2); __uint(max_entries, 1); __type(key, u32); __type(value, struct timed); } timers SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct timed); } more_timers SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct owner); } owners SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct locked); } locks SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, u64); } numbers SEC(".maps");
struct { __uint(type, 29); __uint(map_flags, 1); __type(key, int); __type(value, struct shared); } of_tasks SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); } ring SEC(".maps");
struct inner { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct timed); } first SEC(".maps"),
	second SEC(".maps");
struct { __uint(type, 13); __uint(max_entries, 2); __type(key, u32); __array(values, struct inner); } outer SEC(".maps") = {
	.values = { (void *)&first, (void *)&second },
};

PRIVATE("graph") struct bpf_spin_lock graph_lock;
PRIVATE("graph") struct bpf_list_head list CONTAINS("node:list");
PRIVATE("graph") struct bpf_rb_root tree CONTAINS("leaf:tree");

u64 shared[4];
static const char format[] = "%d of %s\n";
char writable[] = "%d";

#define new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))

static int expired(void *map, int *key, struct timed *value) { value->count++; return 0; }
static int wrong_code(void *map, int *key, struct timed *value) { return 1; }
static int step(u32 i, u64 *sum) { *sum += i; return i > 3; }
static int too_big(u32 i, void *ctx) { return 2; }
static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) { return container_of(a, struct leaf, tree)->key < 7; }

/* Special fields of maps. */

ACCEPTED SEC("tc") int timer(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	if (!t) return 0;
	bpf_timer_init(&t->timer, &timers, 0);
	return bpf_timer_set_callback(&t->timer, expired);
}

REFUSED("off 0 doesn't point to 'struct bpf_timer' that is at 8")
SEC("tc") int timer_elsewhere(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	return t ? bpf_timer_init((void *)t, &timers, 0) : 0;
}

REFUSED("timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0")
SEC("tc") int timer_of_other_map(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	return t ? bpf_timer_init(&t->timer, &more_timers, 0) : 0;
}

REFUSED("timer pointer in R1 map_uid={{[1-9][0-9]*}} doesn't match map pointer in R2 map_uid={{[1-9][0-9]*}}")
SEC("tc") int timer_of_other_inner_map(struct __sk_buff *skb)
{
	u32 key = 0;
	void *one = bpf_map_lookup_elem(&outer, &key), *two = bpf_map_lookup_elem(&outer, &key);
	struct timed *t = one && two ? bpf_map_lookup_elem(one, &key) : NULL;
	return t ? bpf_timer_init(&t->timer, two, 0) : 0;
}

REFUSED("map 'numbers' has no valid bpf_timer")
SEC("tc") int no_timer(struct __sk_buff *skb)
{
	u32 key = 0;
	void *v = bpf_map_lookup_elem(&numbers, &key);
	return v ? bpf_timer_init(v, &numbers, 0) : 0;
}

REFUSED("bpf_timer cannot be accessed directly by load/store")
SEC("tc") int timer_as_bytes(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	return t ? *(volatile u32 *)&t->timer : 0;
}

REFUSED("At async callback return the register R0 has smin=1 smax=1 should have been in [0, 0]")
SEC("tc") int timer_that_returns(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	return t ? bpf_timer_set_callback(&t->timer, wrong_code) : 0;
}

REFUSED("tracing progs cannot use bpf_timer yet")
SEC("kprobe") int timer_in_kprobe(void *ctx)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	return t != NULL;
}

ACCEPTED SEC("tc") int workqueue(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	if (!t) return 0;
	bpf_wq_init(&t->work, &timers, 0);
	return bpf_wq_set_callback_impl(&t->work, (void *)expired, 0, NULL);
}

REFUSED("workqueue pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0")
SEC("tc") int workqueue_of_other_map(struct __sk_buff *skb)
{
	u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);
	return t ? bpf_wq_init(&t->work, &more_timers, 0) : 0;
}

/* Maps of maps. */

ACCEPTED SEC("tc") int inner_map(struct __sk_buff *skb)
{
	u32 key = 0;
	void *map = bpf_map_lookup_elem(&outer, &key);
	struct timed *t = map ? bpf_map_lookup_elem(map, &key) : NULL;
	return t ? t->count++ : 0;
}

REFUSED("R1 type=map_value_or_null expected=map_ptr")
SEC("tc") int inner_map_unchecked(struct __sk_buff *skb)
{
	u32 key = 0;
	return bpf_map_lookup_elem(bpf_map_lookup_elem(&outer, &key), &key) != NULL;
}

REFUSED("cannot pass map_type 13 into func bpf_map_update_elem#2")
SEC("tc") int outer_map_changed(struct __sk_buff *skb)
{
	u32 key = 0;
	return bpf_map_update_elem(&outer, &key, &key, 0);
}

REFUSED("only read from bpf_array is supported")
SEC("tc") int map_struct_written(struct __sk_buff *skb)
{
	*(volatile u32 *)&timers = 1;
	return 0;
}

/* Pointers that maps own. */

ACCEPTED SEC("tc") int kptr(struct __sk_buff *skb)
{
	u32 key = 0;
	struct owner *o = bpf_map_lookup_elem(&owners, &key);
	struct task_struct *t = bpf_task_from_pid(1);
	if (!t) return 0;
	if (o) t = bpf_kptr_xchg(&o->task, t);
	if (t) bpf_task_release(t);
	return 0;
}

REFUSED("Unreleased reference id=")
SEC("tc") int kptr_lost(struct __sk_buff *skb)
{
	u32 key = 0;
	struct owner *o = bpf_map_lookup_elem(&owners, &key);
	return o ? bpf_kptr_xchg(&o->task, NULL) != NULL : 0;
}

REFUSED("store to referenced kptr disallowed")
SEC("tc") int kptr_stored(struct __sk_buff *skb)
{
	u32 key = 0;
	struct owner *o = bpf_map_lookup_elem(&owners, &key);
	if (o) *(void *volatile *)&o->task = NULL;
	return 0;
}

REFUSED("kptr access size must be BPF_DW")
SEC("tc") int kptr_half(struct __sk_buff *skb)
{
	u32 key = 0;
	struct owner *o = bpf_map_lookup_elem(&owners, &key);
	return o ? *(volatile u32 *)&o->task : 0;
}

ACCEPTED SEC("tc") int kptr_under_rcu(struct __sk_buff *skb)
{
	u32 key = 0;
	struct owner *o = bpf_map_lookup_elem(&owners, &key);
	struct task_struct *t = o ? *(struct task_struct *volatile *)&o->task : NULL;
	if (t) t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

REFUSED("R1 must be referenced or trusted")
SEC("tc") int kptr_not_owned(struct __sk_buff *skb)
{
	u32 key = 0;
	struct owner *o = bpf_map_lookup_elem(&owners, &key);
	struct task_struct *t = o ? *(struct task_struct *volatile *)&o->task : NULL;
	if (t) bpf_task_release(t);
	return 0;
}

REFUSED("Possibly NULL pointer passed to trusted arg0")
SEC("tc") int release_unchecked(struct __sk_buff *skb)
{
	bpf_task_release(bpf_task_from_pid(1));
	return 0;
}

/* Locks, lists and trees. */

ACCEPTED SEC("tc") int lock(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *l = bpf_map_lookup_elem(&locks, &key);
	if (!l) return 0;
	bpf_spin_lock(&l->lock);
	l->value++;
	bpf_spin_unlock(&l->lock);
	return 0;
}

REFUSED("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region")
SEC("tc") int lock_kept(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *l = bpf_map_lookup_elem(&locks, &key);
	if (l) bpf_spin_lock(&l->lock);
	return 0;
}

REFUSED("bpf_spin_unlock of different lock")
SEC("tc") int lock_of_other_value(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *a = bpf_map_lookup_elem(&locks, &key), *b = bpf_map_lookup_elem(&locks, &key);
	if (!a || !b) return 0;
	bpf_spin_lock(&a->lock);
	bpf_spin_unlock(&b->lock);
	return 0;
}

REFUSED("function calls are not allowed while holding a lock")
SEC("tc") int call_under_lock(struct __sk_buff *skb)
{
	bpf_spin_lock(&graph_lock);
	bpf_get_prandom_u32();
	bpf_spin_unlock(&graph_lock);
	return 0;
}

ACCEPTED SEC("tc") int list_of_objects(struct __sk_buff *skb)
{
	struct node *n = new(struct node);
	struct bpf_list_node *l;
	if (!n) return 0;
	n->key = 5;
	bpf_spin_lock(&graph_lock);
	bpf_list_push_back_impl(&list, &n->list, NULL, 0);
	l = bpf_list_pop_front(&list);
	bpf_spin_unlock(&graph_lock);
	if (l) bpf_obj_drop_impl(container_of(l, struct node, list), NULL);
	return 0;
}

REFUSED("bpf_spin_lock at off={{[0-9]+}} must be held for bpf_list_head")
SEC("tc") int list_without_lock(struct __sk_buff *skb)
{
	struct bpf_list_node *l = bpf_list_pop_front(&list);
	if (l) bpf_obj_drop_impl(container_of(l, struct node, list), NULL);
	return 0;
}

REFUSED("invalid mem access 'scalar'")
SEC("tc") int list_node_after_unlock(struct __sk_buff *skb)
{
	struct node *n = new(struct node);
	if (!n) return 0;
	bpf_spin_lock(&graph_lock);
	bpf_list_push_back_impl(&list, &n->list, NULL, 0);
	bpf_spin_unlock(&graph_lock);
	return n->key;
}

REFUSED("direct access to bpf_list_node is disallowed")
SEC("tc") int list_node_as_bytes(struct __sk_buff *skb)
{
	struct node *n = new(struct node);
	int bytes;
	if (!n) return 0;
	bytes = *(volatile u32 *)&n->list;
	bpf_obj_drop_impl(n, NULL);
	return bytes;
}

REFUSED("Unreleased reference id=")
SEC("tc") int object_lost(struct __sk_buff *skb)
{
	return new(struct node) != NULL;
}

ACCEPTED SEC("tc") int tree_of_objects(struct __sk_buff *skb)
{
	struct leaf *n = new(struct leaf);
	struct bpf_rb_node *l;
	u64 key = 0;
	if (!n) return 0;
	n->key = 5;
	bpf_spin_lock(&graph_lock);
	bpf_rbtree_add_impl(&tree, &n->tree, less, NULL, 0);
	l = bpf_rbtree_first(&tree);
	if (l) key = container_of(l, struct leaf, tree)->key;
	bpf_spin_unlock(&graph_lock);
	return key;
}

REFUSED("operation on bpf_list_head expects arg#1 bpf_list_node at offset=8 in struct node, but arg is at offset=8 in struct other")
SEC("tc") int list_of_others(struct __sk_buff *skb)
{
	struct other { u64 key; struct bpf_list_node list; } *n = new(struct other);
	if (!n) return 0;
	bpf_spin_lock(&graph_lock);
	bpf_list_push_back_impl(&list, &n->list, NULL, 0);
	bpf_spin_unlock(&graph_lock);
	return 0;
}

/* Dynptrs. */

ACCEPTED SEC("tc") int slice(struct __sk_buff *skb)
{
	struct bpf_dynptr d, clone;
	u64 buffer[2];
	u32 *p;
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	bpf_dynptr_clone(&d, &clone);
	p = bpf_dynptr_slice(&clone, 4, buffer, sizeof(buffer));
	return p && !bpf_dynptr_is_null(&d) ? p[3] : 0;
}

REFUSED("R0 cannot write into rdonly_mem")
SEC("tc") int slice_written(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 buffer[2];
	u32 *p;
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	p = bpf_dynptr_slice(&d, 0, buffer, sizeof(buffer));
	if (p) *(volatile u32 *)p = 1;
	return 0;
}

REFUSED("invalid access to memory, mem_size=16 off=16 size=4")
SEC("tc") int slice_too_short(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 buffer[2];
	u32 *p;
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	p = bpf_dynptr_slice(&d, 0, buffer, sizeof(buffer));
	return p ? p[4] : 0;
}

REFUSED("arg#2 arg#3 memory, len pair leads to invalid memory access")
SEC("tc") int slice_into_too_little(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 buffer[2];
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	return bpf_dynptr_slice(&d, 0, buffer, 4096) != NULL;
}

REFUSED("R4 must be a known constant")
SEC("tc") int slice_of_any_size(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 buffer[2];
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	return bpf_dynptr_slice(&d, 0, buffer, skb->len & 15) != NULL;
}

REFUSED("invalid mem access 'scalar'")
SEC("tc") int slice_after_pull(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 buffer[2];
	u32 *p;
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	p = bpf_dynptr_slice(&d, 0, buffer, sizeof(buffer));
	bpf_skb_pull_data(skb, 100);
	return p ? *p : 0;
}

REFUSED("the prog does not allow writes to packet data")
SEC("socket") int slice_to_write_in_filter(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 buffer[2];
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	return bpf_dynptr_slice_rdwr(&d, 0, buffer, sizeof(buffer)) != NULL;
}

REFUSED("Expected an initialized dynptr as arg #0")
SEC("tc") int dynptr_of_nothing(struct __sk_buff *skb)
{
	struct bpf_dynptr d = {};
	return bpf_dynptr_is_null(&d);
}

ACCEPTED SEC("tc") int dynptr_of_map(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 word, *p;
	bpf_dynptr_from_mem(shared, sizeof(shared), 0, &d);
	bpf_dynptr_read(&word, sizeof(word), &d, 8, 0);
	p = bpf_dynptr_data(&d, 8, 16);
	return p ? word + p[1] : 0;
}

REFUSED("Unsupported reg type fp for bpf_dynptr_from_mem data")
SEC("tc") int dynptr_of_stack(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 word = 0;
	return bpf_dynptr_from_mem(&word, sizeof(word), 0, &d);
}

/* Sockets. */

ACCEPTED SEC("tc") int socket_looked_up(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t), 0, 0), *full;
	u32 mark = 0;
	if (!sk) return 0;
	full = bpf_sk_fullsock(sk);
	if (full) mark = full->mark;
	bpf_sk_release(sk);
	return mark;
}

REFUSED("R0 cannot write into sock")
SEC("tc") int socket_written(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t), 0, 0);
	if (sk) *(volatile u32 *)&sk->mark = 1;
	return 0;
}

REFUSED("R0 invalid sock access off=2 size=2")
SEC("tc") int socket_half(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t), 0, 0);
	return sk ? ((volatile unsigned short *)sk)[1] : 0;
}

REFUSED("R1 type=sock_or_null expected=sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_")
SEC("tc") int socket_unchecked(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	return bpf_sk_release(bpf_sk_lookup_tcp(skb, &t, sizeof(t), 0, 0));
}

/* Callbacks. */

ACCEPTED SEC("tc") int loop(struct __sk_buff *skb)
{
	u64 sum = 0;
	bpf_loop(10, step, &sum, 0);
	return sum;
}

REFUSED("At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]")
SEC("tc") int loop_that_returns(struct __sk_buff *skb)
{
	return bpf_loop(10, too_big, NULL, 0);
}

REFUSED("callback function not allowed for map")
SEC("tc") int each_of_ring(struct __sk_buff *skb)
{
	return bpf_for_each_map_elem(&ring, step, NULL, 0);
}

REFUSED("R2 type=scalar expected=func")
SEC("tc") int loop_over_nothing(struct __sk_buff *skb)
{
	return bpf_loop(10, NULL, NULL, 0);
}

/* Strings. */

ACCEPTED SEC("tc") int text(struct __sk_buff *skb)
{
	static const char word[] = "all";
	char to[16], from[4] = "all";
	u64 args[2] = { 1, (u64)(long)word };
	return bpf_snprintf(to, sizeof(to), format, args, sizeof(args)) + bpf_strncmp(from, sizeof(from), word);
}

REFUSED("Invalid format string")
SEC("tc") int text_with_too_few(struct __sk_buff *skb)
{
	char to[16];
	u64 args[1] = { 1 };
	return bpf_snprintf(to, sizeof(to), format, args, sizeof(args));
}

REFUSED("R3 does not point to a readonly map'")
SEC("tc") int text_that_changes(struct __sk_buff *skb)
{
	char to[16];
	u64 args[1] = { 1 };
	return bpf_snprintf(to, sizeof(to), writable, args, sizeof(args));
}

/* Arguments of functions. */

__attribute__((noinline)) int takes_memory(u64 *p) { return p ? *p : 0; }
__attribute__((noinline)) int takes_dynptr(struct bpf_dynptr *d) { return bpf_dynptr_is_null(d); }
__attribute__((noinline)) int takes_object(u64 *p __attribute__((btf_decl_tag("arg:nonnull")))) { return *p; }
__attribute__((noinline)) int takes_task(struct task_struct *t __attribute__((btf_decl_tag("arg:trusted")))) { return t->pid; }
__attribute__((noinline)) int takes_ctx(void *ctx __attribute__((btf_decl_tag("arg:ctx")))) { return bpf_skb_pull_data(ctx, 1); }
__attribute__((noinline)) int takes_nonsense(int i __attribute__((btf_decl_tag("arg:nonnull")))) { asm volatile(""); return i; }
__attribute__((noinline)) int takes_unknown(u64 *p __attribute__((btf_decl_tag("arg:lucky")))) { asm volatile(""); return p != NULL; }

ACCEPTED SEC("tc") int arguments(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	u64 word = 1;
	if (bpf_dynptr_from_skb(skb, 0, &d)) return 0;
	return takes_memory(&word) + takes_memory(NULL) + takes_dynptr(&d) + takes_object(&word) + takes_ctx(skb);
}

ACCEPTED SEC("tc") int task_as_argument(struct __sk_buff *skb)
{
	struct task_struct *t = bpf_task_from_pid(1);
	int pid;
	if (!t) return 0;
	pid = takes_task(t);
	bpf_task_release(t);
	return pid;
}

REFUSED("Caller passes invalid args into func#1 ('takes_memory')")
SEC("tc") int too_little_memory(struct __sk_buff *skb)
{
	u32 half = 1;
	return takes_memory((void *)&half);
}

REFUSED("Caller passes invalid args into func#1 ('takes_task')")
SEC("tc") int stack_as_task(struct __sk_buff *skb)
{
	u64 word = 1;
	return takes_task((void *)&word);
}

REFUSED("arg#0 has pointer tag, but is not a pointer type")
SEC("tc") int number_with_tag(struct __sk_buff *skb)
{
	return takes_nonsense(skb->len);
}

REFUSED("arg#0 has unsupported set of tags")
SEC("tc") int unknown_tag(struct __sk_buff *skb)
{
	u64 word = 1;
	return takes_unknown(&word);
}

/* Kernel functions. */

REFUSED("calling kernel function bpf_task_from_pid is not allowed")
SEC("raw_tp") int not_for_this_type(void *ctx)
{
	struct task_struct *t = bpf_task_from_pid(1);
	if (t) bpf_task_release(t);
	return 0;
}

REFUSED("program must be sleepable to call sleepable kfunc bpf_copy_from_user_str")
SEC("tc") int may_sleep(struct __sk_buff *skb)
{
	char to[8];
	return bpf_copy_from_user_str(to, sizeof(to), NULL, 0);
}

ACCEPTED SEC("tc") int ignored_argument(struct __sk_buff *skb)
{
	return bpf_strlen((void *)(long)skb->mark);
}

ACCEPTED SEC("cgroup/getsockopt") int sets_result(void *ctx)
{
	return bpf_set_retval(-1) == 0;
}

REFUSED("program of this type cannot use helper bpf_set_retval#187")
SEC("cgroup/recvmsg4") int has_no_result(void *ctx)
{
	return bpf_set_retval(-1) == 0;
}

/* The kernel's structs. */

ACCEPTED TAG("log_level=2") TAG("expect_msg=0=rdonly_untrusted_mem(sz=0)") SEC("tc") int text_of_task(struct __sk_buff *skb)
{
	struct task_struct *t = bpf_task_from_pid(1);
	int first;
	if (!t) return 0;
	first = t->text[0];
	bpf_task_release(t);
	return first;
}

REFUSED("cannot write into rdonly_untrusted_mem")
SEC("tc") int writes_text_of_task(struct __sk_buff *skb)
{
	struct task_struct *t = bpf_task_from_pid(1);
	if (!t) return 0;
	t->text[0] = 0;
	bpf_task_release(t);
	return 0;
}

ACCEPTED SEC("tc") int one_of_two_tasks(struct __sk_buff *skb)
{
	struct task_struct *t = bpf_task_from_pid(1), *one = t;
	int pid;
	if (!t) return 0;
	if (skb->mark) one = t->parent;
	asm volatile("" : "+r"(one));
	pid = *(volatile int *)&one->pid;
	bpf_task_release(t);
	return pid;
}

REFUSED("same insn cannot be used with different pointers")
SEC("tc") int task_or_context(struct __sk_buff *skb)
{
	struct task_struct *t = bpf_task_from_pid(1);
	void *one = t;
	int word;
	if (!t) return 0;
	if (skb->mark) one = skb;
	asm volatile("" : "+r"(one));
	word = *(volatile u32 *)one;
	bpf_task_release(t);
	return word;
}

/* Memory of a process. */

ACCEPTED TAG("log_level=2") TAG("expect_msg=0=R{{[0-9]}}=mem_or_null(id={{[0-9]+}},sz=8)")
SEC("syscall") int page_of_process(void *ctx)
{
	struct shared *s = bpf_task_storage_get(&of_tasks, bpf_get_current_task_btf(), NULL, 1);
	struct page_of_user *page = s ? s->page : NULL;
	if (page) page->answered = page->asked;
	return 0;
}

REFUSED("invalid access to memory, mem_size=8 off=8 size=4")
SEC("syscall") int beyond_page_of_process(void *ctx)
{
	struct shared *s = bpf_task_storage_get(&of_tasks, bpf_get_current_task_btf(), NULL, 1);
	struct page_of_user *page = s ? s->page : NULL;
	return page ? page[1].asked : 0;
}

REFUSED("store to uptr disallowed")
SEC("syscall") int replaces_page_of_process(void *ctx)
{
	struct shared *s = bpf_task_storage_get(&of_tasks, bpf_get_current_task_btf(), NULL, 1);
	if (s) *(void *volatile *)&s->page = NULL;
	return 0;
}

REFUSED("R1 has no valid kptr")
SEC("syscall") int takes_page_of_process(void *ctx)
{
	struct shared *s = bpf_task_storage_get(&of_tasks, bpf_get_current_task_btf(), NULL, 1);
	return s ? bpf_kptr_xchg(&s->page, NULL) != NULL : 0;
}
