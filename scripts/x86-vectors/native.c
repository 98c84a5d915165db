// Executes instructions on the CPU: one case a line on stdin, its result on stdout. See generate.mjs.
//   in:  CODEHEX rax rcx rdx rbx rsp rbp rsi rdi r8 … r15 flags mem0 mem1     (hex; rsp is ignored)
//   out: rax rcx … r15 flags mem0 mem1, or "fault"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct state { uint64_t r[16], flags; };
struct state *saved_state;
void *code_pointer;
uint64_t temporary;
void run(struct state *s, void *code);

__asm__(".text\n.globl run\nrun:\n"
	"push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\npush %rax\n"
	"mov %rdi, saved_state(%rip)\nmov %rsi, code_pointer(%rip)\n"
	"pushq 128(%rdi)\npopfq\n"
	"mov 0(%rdi), %rax\nmov 8(%rdi), %rcx\nmov 16(%rdi), %rdx\nmov 24(%rdi), %rbx\nmov 40(%rdi), %rbp\nmov 48(%rdi), %rsi\n"
	"mov 64(%rdi), %r8\nmov 72(%rdi), %r9\nmov 80(%rdi), %r10\nmov 88(%rdi), %r11\nmov 96(%rdi), %r12\nmov 104(%rdi), %r13\n"
	"mov 112(%rdi), %r14\nmov 120(%rdi), %r15\nmov 56(%rdi), %rdi\n"
	"call *code_pointer(%rip)\n"
	"mov %rdi, temporary(%rip)\nmov saved_state(%rip), %rdi\n"
	"mov %rax, 0(%rdi)\nmov %rcx, 8(%rdi)\nmov %rdx, 16(%rdi)\nmov %rbx, 24(%rdi)\nmov %rbp, 40(%rdi)\nmov %rsi, 48(%rdi)\n"
	"mov %r8, 64(%rdi)\nmov %r9, 72(%rdi)\nmov %r10, 80(%rdi)\nmov %r11, 88(%rdi)\nmov %r12, 96(%rdi)\nmov %r13, 104(%rdi)\n"
	"mov %r14, 112(%rdi)\nmov %r15, 120(%rdi)\n"
	"pushfq\npop %rax\nmov %rax, 128(%rdi)\nmov temporary(%rip), %rax\nmov %rax, 56(%rdi)\n"
	"pop %rax\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

static sigjmp_buf back;
static void on_fault(int signal) { siglongjmp(back, signal); }

int main(void)
{
	unsigned char *code = mmap((void *)0x20000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	uint64_t *memory = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	char hex[64];

	signal(SIGFPE, on_fault);
	signal(SIGILL, on_fault);
	while (scanf("%63s", hex) == 1) {
		struct state s;
		size_t n = strlen(hex) / 2;
		for (size_t i = 0; i < n; i++) sscanf(hex + 2 * i, "%2hhx", code + i);
		code[n] = 0xc3;
		for (int i = 0; i < 16; i++) scanf("%lx", &s.r[i]);
		scanf("%lx %lx %lx", &s.flags, memory, memory + 1);
		if (sigsetjmp(back, 1)) {
			puts("fault");
			continue;
		}
		run(&s, code);
		for (int i = 0; i < 16; i++) printf("%lx ", s.r[i]);
		printf("%lx %lx %lx\n", s.flags & 0x8c5, memory[0], memory[1]);
	}
	return 0;
}
