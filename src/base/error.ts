/** What kind of "no" an error is; the command line turns it into an exit code. */
export type ErrorKind =
  /** The input cannot be read: truncated, malformed, hostile. Exit 3. */
  | 'unreadable'
  /** The input is fine but asks for what is not modelled. Exit 3. */
  | 'unsupported'
  /** The kernel would say no (an errno, a rejected program, a CFI violation). Exit 1. */
  | 'refused'
  /** Wrong option or argument. Exit 2. */
  | 'usage';

export interface ErrorDetail {
  kind: ErrorKind;
  /** Stable, upper-case, e.g. `ELF_TRUNCATED`, or the kernel's errno name where it returns one (`E2BIG`). */
  code: string;
  /** The place in the input: file, section, symbol, instruction. */
  where?: string;
  /** One line that says what to do about it. */
  hint?: string;
  cause?: unknown;
}

/**
 * The base of every error that Trampet raises on purpose; each room derives one class from it.
 * `message` is one line, fit to be shown alone; anything thrown that is not a `TrampetError` is a bug of ours.
 */
export class TrampetError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly where: string | undefined;
  readonly hint: string | undefined;

  constructor(why: string, detail: ErrorDetail) {
    super(detail.where ? `${detail.where}: ${why}` : why, { cause: detail.cause });
    this.name = new.target.name;
    this.kind = detail.kind;
    this.code = detail.code;
    this.where = detail.where;
    this.hint = detail.hint;
  }
}
