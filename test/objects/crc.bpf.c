/*
 * Bitwise checksums for test/verifier/limits.test.ts: clang -O2 -g -mcpu=v3 -target bpf -c crc.bpf.c -o crc.bpf.o
 * A mask of all ones or none is walked as both, for each bit.
 */
#define SEC(name) __attribute__((section(name), used))
typedef unsigned int u32;
typedef unsigned char u8;

char _license[] SEC("license") = "GPL";

struct {
	int (*type)[2];
	int (*max_entries)[1];
	u32 *key;
	u8 (*value)[4096];
} text SEC(".maps");

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

static __attribute__((always_inline)) u32 crc32(const u8 *data, u32 size)
{
	u32 crc = ~0U;

	for (u32 i = 0; i < size; i++) {
		crc ^= data[i];
#pragma unroll
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320 & -(crc & 1));
	}
	return ~crc;
}

/* 32,768 bits: more branches are left to walk than the verifier keeps. */
SEC("socket") int long_text(void *ctx)
{
	u32 key = 0;
	u8 *data = bpf_map_lookup_elem(&text, &key);

	return data ? crc32(data, 4096) : 0;
}

/* 8 bits: both values of each are walked. */
SEC("socket") int short_text(void *ctx)
{
	u32 key = 0;
	u8 *data = bpf_map_lookup_elem(&text, &key);

	return data ? crc32(data, 1) : 0;
}
