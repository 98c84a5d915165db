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
