/* Tracing programs for test/kernel/attach.test.ts: clang -O2 -g -target bpf -c trace.bpf.c -o trace.bpf.o */
#define SEC(name) __attribute__((section(name), used))
typedef unsigned long long u64;
typedef unsigned int u32;

char _license[] SEC("license") = "GPL";

static int (*bpf_get_numa_node_id)(void) = (void *)42;

struct {
	u64 entered, acked, left, result, modified, entered_twice, onprog, onprog_result;
} seen;
int verdict = 0;

SEC("fentry/tcp_slow_start") int slow_start_entry(u64 *ctx)
{
	seen.entered++;
	seen.acked += (u32)ctx[1];
	bpf_get_numa_node_id();
	return 0;
}

SEC("fentry/tcp_slow_start") int slow_start_entry_too(u64 *ctx)
{
	seen.entered_twice++;
	return 0;
}

SEC("fexit/tcp_slow_start") int slow_start_exit(u64 *ctx)
{
	seen.left++;
	seen.result += (u32)ctx[2];
	return 0;
}

SEC("?fmod_ret/tcp_slow_start") int slow_start_modify(u64 *ctx)
{
	seen.modified++;
	return verdict;
}

SEC("?fentry.s/tcp_slow_start") int sleeper(u64 *ctx)
{
	return 0;
}

SEC("?fentry/no_such_function") int nowhere(u64 *ctx)
{
	return 0;
}
