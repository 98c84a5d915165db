/* Tracing programs that attach to another program: see trace.bpf.c. */
#define SEC(name) __attribute__((section(name), used))
typedef unsigned long long u64;

char _license[] SEC("license") = "GPL";

u64 entered, result;

SEC("fentry/reno_ssthresh") int on_entry(u64 *ctx)
{
	entered++;
	return 0;
}

SEC("fexit/reno_ssthresh") int on_exit(u64 *ctx)
{
	result += ctx[1];
	return 0;
}
