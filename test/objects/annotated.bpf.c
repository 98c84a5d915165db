/* Programs that say what a kernel should answer, in the decl tags of the kernel's selftests; test/oracle/selftests.test.ts
 * knows which of them are wrong on purpose. */
#define SEC(name) __attribute__((section(name), used))
#define TAG(text) __attribute__((btf_decl_tag("comment:test_" text)))

char _license[] SEC("license") = "GPL";

TAG("expect_success") TAG("log_level=2")
TAG("expect_msg=0=(b4) w0 = 7") TAG("expect_msg=1=R0{{(_w)?}}=7") TAG("expect_msg=2=processed 2 insns")
SEC("socket") int as_said(void *ctx)
{
	return 7;
}

TAG("expect_failure") TAG("expect_msg=0=invalid bpf_context access off={{[0-9]+}} size=8")
SEC("socket") int refused_as_said(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

TAG("expect_failure") TAG("expect_msg=0=invalid bpf_context access off=[0-9]+ size=8")
SEC("socket") int refused_in_other_words(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

TAG("expect_failure")
SEC("socket") int accepted_against_word(void *ctx)
{
	return 0;
}

TAG("expect_success")
SEC("socket") int refused_against_word(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

TAG("expect_success") TAG("log_level=2")
TAG("expect_msg=0=R0=7") TAG("expect_not_msg=1=exit")
SEC("socket") int unwanted_words(void *ctx)
{
	return 7;
}

TAG("expect_success") TAG("expect_xlated=0=0: w0 = 7") TAG("expect_xlated=1=1: exit")
SEC("socket") int rewritten(void *ctx)
{
	return 7;
}

TAG("expect_success") TAG("expect_xlated=0=0: w0 = 7") TAG("expect_xlated=1=1: r0 = 8")
SEC("socket") int rewritten_otherwise(void *ctx)
{
	return 7;
}

TAG("expect_success") TAG("arch=ARM64")
SEC("socket") int elsewhere(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

TAG("expect_success_unpriv")
SEC("socket") int unprivileged(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

TAG("auxiliary") TAG("expect_success")
SEC("socket") int helping(void *ctx)
{
	return *(volatile unsigned long *)(ctx + 4096);
}

/* What the verifier and the loader make of references to maps. */
struct {
	int (*type)[33]; /* BPF_MAP_TYPE_ARENA */
	int (*map_flags)[1 << 10];
	int (*max_entries)[1];
} arena SEC(".maps");

int in_arena SEC(".addr_space.1") = 7;

TAG("expect_success") TAG("log_level=2") TAG("expect_msg=0=R0=scalar()")
SEC("socket") int arena_variable(void *ctx)
{
	long address;
	asm volatile("%0 = %1 ll" : "=r"(address) : "i"(&in_arena));
	return address & 1;
}

/* r1 = the map with file descriptor 0 */
TAG("expect_failure") TAG("expect_msg=0=fd 0 is not pointing to valid bpf_map")
SEC("socket") int map_by_number(void *ctx)
{
	asm volatile(".byte 0x18, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0" ::: "r1");
	return 0;
}

long shared[2];

TAG("expect_failure") TAG("prog_flags=BPF_F_STRICT_ALIGNMENT")
TAG("expect_msg=0=misaligned value access off 0+0+1 size 4")
SEC("socket") int strictly_aligned(void *ctx)
{
	return *(volatile int *)((char *)shared + 1);
}

TAG("expect_success")
SEC("socket") int loosely_aligned(void *ctx)
{
	return *(volatile int *)((char *)shared + 1);
}
