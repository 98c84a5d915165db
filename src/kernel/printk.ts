import type { Kernel } from './kernel.ts';

/** One argument of a format, as the 64 bits that a program passed. */
export interface FormatArgument {
  lo: number;
  hi: number;
}

/**
 * Formats as bpf_trace_printk does (bpf_bprintf_prepare, 6.12): %d %i %u %x %X %o %c %p with l and ll, %s, %pK, %px, %ps, %%,
 * flags and widths. Undefined for a format that the kernel refuses with -EINVAL.
 */
export function formatPrintk(kernel: Kernel, format: string, args: readonly FormatArgument[]): string | undefined {
  let next = 0;
  let bad = false;
  const text = format.replace(
    /%([-+ #0]*)(\d*)(?:\.(\d+))?(ll|l|h|hh)?(.?)([Kxs]?)/g,
    (match, flags: string, width: string, _precision, length: string | undefined, kind: string, suffix: string) => {
      if (kind === '%') return `%${suffix}`;
      const arg = args[next++];
      if (arg === undefined) {
        bad = true;
        return match;
      }
      const wide = length === 'll' || length === 'l';
      const pad = (body: string) => padded(body, flags, Number(width || 0));
      switch (kind) {
        case 'd':
        case 'i':
          return pad((wide ? BigInt.asIntN(64, join(arg)) : BigInt(arg.lo)).toString()) + suffix;
        case 'u':
          return pad((wide ? join(arg) : BigInt(arg.lo >>> 0)).toString()) + suffix;
        case 'x':
        case 'X':
        case 'o': {
          const value = (wide ? join(arg) : BigInt(arg.lo >>> 0)).toString(kind === 'o' ? 8 : 16);
          const prefixed = flags.includes('#') ? (kind === 'o' ? `0${value}` : `0x${value}`) : value;
          return pad(kind === 'X' ? prefixed.toUpperCase() : prefixed) + suffix;
        }
        case 'c':
          return pad(String.fromCharCode(arg.lo & 0xff)) + suffix;
        case 's':
          return pad(readString(kernel, arg)) + suffix;
        case 'p':
          return pad(
            suffix === 's' ? kernel.symbols.format(arg.lo >>> 0, join(arg)) : join(arg).toString(16).padStart(16, '0'),
          );
        default:
          bad = true;
          return match;
      }
    },
  );
  return bad ? undefined : text;
}

const join = ({ lo, hi }: FormatArgument): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

function padded(body: string, flags: string, width: number): string {
  if (flags.includes('-')) return body.padEnd(width);
  return flags.includes('0') ? body.padStart(width, '0') : body.padStart(width);
}

/** A NUL-terminated string of at most 511 bytes; what cannot be read is empty. */
export function readString(kernel: Kernel, { lo }: { lo: number }): string {
  const bytes: number[] = [];
  for (let at = lo >>> 0; bytes.length < 511; at++) {
    const byte = kernel.memory.copyNofault(at, 1)?.[0];
    if (byte === undefined || byte === 0) break;
    bytes.push(byte);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
