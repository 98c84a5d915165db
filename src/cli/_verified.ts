import type { LoadedProgram } from '../kernel/index.ts';
import { dim, yellow } from './print.ts';

/** What --json says of the programs that a command loaded. */
export interface Verification {
  /** Every one was verified. */
  verified: boolean;
  /** Those that were not, and what of them is not modelled. */
  notVerified: { program: string; why: string }[];
}

export function verificationOf(programs: Iterable<LoadedProgram>): Verification {
  const notVerified = [...programs].flatMap(({ name, notVerified: why }) =>
    why === undefined ? [] : [{ program: name, why }],
  );
  return { verified: notVerified.length === 0, notVerified };
}

/** One plain sentence. */
export function verificationText({ verified, notVerified }: Verification): string {
  if (verified) return "programs are verified by Linux 6.18's rules";
  const names = notVerified.map(({ program, why }) => `${program} (not modelled: ${why})`);
  return `programs are verified by Linux 6.18's rules but ${names.join(', ')}, whose structure alone was checked`;
}

/** For people: one line, or one for every program that was not verified. */
export function verificationLines({ verified, notVerified }: Verification): string[] {
  if (verified) return [dim("verified: true (Linux 6.18's rules)")];
  return notVerified.map(
    ({ program, why }) =>
      `${yellow('verified: false')}  ${program} ${dim(`(not modelled: ${why}); its structure was checked`)}`,
  );
}
