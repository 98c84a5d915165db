/* Programs that say what they return, in the decl tags of the kernel's selftests; test/oracle/selftests.test.ts knows which of
 * them are wrong on purpose. */
#define SEC(name) __attribute__((section(name), used))
#define TAG(text) __attribute__((btf_decl_tag("comment:test_" text)))

char _license[] SEC("license") = "GPL";

struct __sk_buff {
	unsigned int before[19];
	unsigned int data;
	unsigned int data_end;
};
struct xdp_md {
	unsigned int data;
	unsigned int data_end;
};

static long (*const csum_update)(void *skb, unsigned int sum) = (void *)40;

TAG("expect_success") TAG("retval=-7")
SEC("socket") int as_said(void *ctx)
{
	return -7;
}

TAG("expect_success") TAG("retval=0x10")
SEC("socket") int otherwise(void *ctx)
{
	return 17;
}

TAG("expect_success") TAG("retval=TEST_DATA_LEN")
SEC("tc") int length_of_frame(struct __sk_buff *skb)
{
	return (long)skb->data_end - (long)skb->data;
}

TAG("expect_success") TAG("retval=TEST_DATA_LEN")
SEC("xdp") int length_of_buffer(struct xdp_md *xdp)
{
	return (long)xdp->data_end - (long)xdp->data;
}

TAG("expect_success") TAG("retval=POINTER_VALUE")
SEC("socket") int anything(void *ctx)
{
	return (long)ctx;
}

TAG("expect_failure") TAG("retval=0")
SEC("socket") int refused(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

TAG("expect_success") TAG("retval=0")
SEC("tc") int with_a_helper(void *skb)
{
	csum_update(skb, 0);
	return 0;
}

static long (*const tail_call)(void *ctx, void *map, unsigned int index) = (void *)12;

TAG("auxiliary") TAG("expect_success")
SEC("socket") int end(void *ctx)
{
	return 42;
}

struct {
	int (*type)[3]; /* BPF_MAP_TYPE_PROG_ARRAY */
	int (*max_entries)[1];
	int (*key_size)[4];
	int (*values[])(void *);
} filled SEC(".maps") = { .values = { end } };

TAG("expect_success") TAG("retval=42")
SEC("socket") int at_the_end(void *ctx)
{
	tail_call(ctx, &filled, 0);
	return 1;
}
