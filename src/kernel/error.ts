import { TrampetError } from '../base/index.ts';

/** The guest kernel says no, with the errno that Linux returns. */
export class KernelError extends TrampetError {
  constructor(why: string, errno: string, where?: string) {
    super(why, { kind: 'refused', code: errno, ...(where === undefined ? {} : { where }) });
  }
}

/** Something that this kernel does not model. */
export class UnsupportedError extends TrampetError {
  constructor(why: string, where?: string) {
    super(why, { kind: 'unsupported', code: 'KERNEL_UNSUPPORTED', ...(where === undefined ? {} : { where }) });
  }
}

/** What a fault in the guest means to its kernel. */
export interface Report {
  /** `cfi`: a type hash did not match. `ibt`: an indirect branch without ENDBR. `page fault`, `invalid opcode`, `fault`: an oops. */
  kind: 'cfi' | 'ibt' | 'page fault' | 'invalid opcode' | 'fault';
  /** The lines of the kernel's log. */
  lines: string[];
  /** Where it happened: `symbol+0x1/0x2`. */
  where: string;
  /** The function that was to be called, if the kernel says so. */
  target?: string;
  /** The hash that the caller brought. */
  expected?: number;
}

/** The guest kernel died; the message is the first line of its log. */
export class KernelOops extends TrampetError {
  readonly report: Report;

  constructor(report: Report, cause: unknown) {
    super(report.lines[0] ?? report.kind, {
      kind: 'refused',
      code: report.kind === 'cfi' ? 'CFI' : report.kind === 'ibt' ? 'IBT' : 'OOPS',
      cause,
    });
    this.report = report;
  }
}
