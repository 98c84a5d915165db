/** One report in a log: its own line, and what the lines behind it hold. */
export interface PastedReport {
  vector: 'cfi' | 'missing endbr';
  /** Where it trapped: `symbol+0xoffset/0xsize`, or a bare address. */
  where: string;
  /** The function that was called; absent for a missing ENDBR, whose place is the target itself. */
  target?: string;
  /** The caller's type id. */
  expected?: number;
  /** The call went on: cfi=warn. */
  warned: boolean;
  /** Bytes of the `Code:` line, and which of them trapped. */
  code?: { bytes: number[]; trap: number };
  /** Low halves of the registers that the report shows, by name in upper case. */
  registers: ReadonlyMap<string, number>;
  /** `6.12.117` of `Not tainted 6.12.117 #3`. */
  release?: string;
}

const CFI = /CFI failure(?: \(no warning\))? at (\S+) \(target: (\S+); expected type: (0x[0-9a-f]{1,8})\)/i;
const ENDBR = /Missing ENDBR: (\S+)/;
/** A report of its own ends the one before. */
const NEXT = /CFI failure|Missing ENDBR/;
const LONGEST = 1 << 20;

/** Finds the reports in a log, with or without timestamps, log levels, syslog heads or colours in front of the lines. */
export function readReports(log: string): PastedReport[] {
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g');
  const lines = log.slice(0, LONGEST).replace(escapes, '').split(/\r?\n/);
  const reports: PastedReport[] = [];
  for (let i = 0; i < lines.length; i++) {
    const cfi = CFI.exec(lines[i]!);
    const endbr = cfi === null ? ENDBR.exec(lines[i]!) : null;
    if (cfi === null && endbr === null) continue;
    let end = i + 1;
    while (end < lines.length && !NEXT.test(lines[end]!)) end++;
    const body = lines.slice(i + 1, end);
    const code = codeOf(body);
    const release = body.map((line) => /(?:Not tainted|Tainted: .*?) (\d+\.\d+[\w.-]*)/.exec(line)?.[1]).find(Boolean);
    reports.push({
      vector: cfi === null ? 'missing endbr' : 'cfi',
      where: (cfi ?? endbr)![1]!,
      ...(cfi === null ? {} : { target: cfi[2]!, expected: Number(cfi[3]) >>> 0 }),
      warned: body.some((line) => /WARNING: /.test(line)) && !body.some((line) => /Oops: /.test(line)),
      ...(code === undefined ? {} : { code }),
      registers: registersOf(body),
      ...(release === undefined ? {} : { release }),
    });
  }
  return reports;
}

function codeOf(lines: readonly string[]): PastedReport['code'] {
  for (const line of lines) {
    const match = /Code:((?:\s+<?[0-9a-f]{2}>?)+)/i.exec(line);
    if (match === null) continue;
    const words = match[1]!.trim().split(/\s+/);
    const trap = words.findIndex((word) => word.startsWith('<'));
    if (trap >= 0) return { bytes: words.map((word) => Number.parseInt(word.replace(/[<>]/g, ''), 16)), trap };
  }
  return undefined;
}

function registersOf(lines: readonly string[]): Map<string, number> {
  const registers = new Map<string, number>();
  for (const line of lines)
    for (const [, name, value] of line.matchAll(/\b(R[A-Z0-9]{2}): ([0-9a-f]{16})\b/gi))
      if (!registers.has(name!.toUpperCase())) registers.set(name!.toUpperCase(), Number.parseInt(value!.slice(8), 16));
  return registers;
}
