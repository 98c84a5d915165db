import type { OutputOptions } from './output.ts';
import type { AckFacts } from './rate.ts';
import type { Burst } from './writer.ts';

/** What a rate sample tells beside the segment that decides it. */
export type Sample = Omit<AckFacts, 'now' | 'minRttUs'>;

/** How a connection is set up. */
export interface SenderOptions extends OutputOptions {
  /** Round-trip time of the handshake, nanoseconds; a function is asked when it is over. */
  handshakeRtt: number | (() => number);
  /** What the application writes; without it, data without end. */
  source?: readonly Burst[];
  /** The window of the SYN-ACK, bytes. */
  window?: number;
}
