/** Ticks a second of the kernels that we pretend to run on (CONFIG_HZ), as of those that goldens were recorded on. */
export const HZ = 250;

/** What is known of their configuration: what programs ask for by `extern … __kconfig`. */
export const KCONFIG: ReadonlyMap<string, string> = new Map([
  ['CONFIG_HZ', `${HZ}`],
  [`CONFIG_HZ_${HZ}`, 'y'],
  ['CONFIG_64BIT', 'y'],
  ['CONFIG_X86_64', 'y'],
  ['CONFIG_BPF_SYSCALL', 'y'],
  ['CONFIG_BPF_JIT', 'y'],
]);
