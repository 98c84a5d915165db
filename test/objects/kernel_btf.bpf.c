/* Types and kernel functions as a kernel's BTF has them, for test/verifier/access.test.ts: only this object's BTF counts. */
#define KFUNC __attribute__((section("kernel"), btf_decl_tag("bpf_kfunc"), noinline, used))

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned char u8;
typedef _Bool bool;

struct bpf_dynptr { u64 opaque[2]; };
struct bpf_spin_lock { u32 val; };
struct bpf_list_head { u64 opaque[2]; };
struct bpf_list_node { u64 opaque[3]; };
struct bpf_rb_root { u64 opaque[2]; };
struct bpf_rb_node { u64 opaque[4]; };
struct bpf_wq { u64 opaque[2]; };
struct bpf_map { u32 map_type; u32 key_size; u32 value_size; u32 max_entries; };
struct bpf_array { struct bpf_map map; u32 elem_size; };
struct sock_common { int skc_family; };
struct sock { struct sock_common sk; int sk_priority; };
struct tcp_sock { struct sock sk; int snd_cwnd; };
struct task_struct { int pid; struct task_struct *parent; struct task_struct *group_leader; const char *text; };
struct sk_buff { u32 len; struct sock *sk; };
struct __sk_buff { u32 len; };
struct bpf_prog_aux { u32 id; };

KFUNC struct task_struct *bpf_task_from_pid(int pid) { return 0; }
KFUNC struct task_struct *bpf_task_acquire(struct task_struct *p) { return p; }
KFUNC void bpf_task_release(struct task_struct *p) {}
KFUNC void bpf_task_release_dtor(void *p) {}
KFUNC void bpf_rcu_read_lock(void) {}
KFUNC void bpf_rcu_read_unlock(void) {}
KFUNC int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit) { return 0; }
KFUNC void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk) { return 0; }
KFUNC void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk) { return 0; }
KFUNC bool bpf_dynptr_is_null(const struct bpf_dynptr *p) { return 0; }
KFUNC int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit) { return 0; }
KFUNC void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign) { return 0; }
KFUNC void bpf_obj_drop_impl(void *p__alloc, void *meta__ign) {}
KFUNC int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off) { return 0; }
KFUNC struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) { return 0; }
KFUNC int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			      bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta__ign, u64 off) { return 0; }
KFUNC struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) { return 0; }
KFUNC int bpf_wq_init(struct bpf_wq *wq, void *p__map, u32 flags) { return 0; }
KFUNC int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (callback_fn)(void *map, int *key, void *value), u32 flags,
				   void *aux__prog) { return 0; }
KFUNC void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k) { return 0; }
KFUNC int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags) { return 0; }
KFUNC int bpf_strlen(const char *s__ign) { return 0; }

struct bpf_map a;
struct bpf_array b;
struct tcp_sock c;
struct sk_buff d;
struct bpf_spin_lock e;
