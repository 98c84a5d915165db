import type { LinkSpec } from '../../net/index.ts';
import type { CcMember } from './ops.ts';
import type { ReceiveMemory } from './receive_window.ts';
import type { CA } from './sock.ts';

/** What the application behind a flow has to send. */
export type FlowSource =
  /** As much as the connection takes. */
  | { kind: 'bulk' }
  /** At most this many bits a second, written every 10 ms: app-limited. */
  | { kind: 'limited'; rateBps: number }
  /** `bytes`, then silence until all of it is acknowledged and `thinkNs` have passed, again and again. */
  | { kind: 'requests'; bytes: number; thinkNs: number };

/** One flow of a scenario. */
export interface FlowSpec {
  /** In the results; names are distinct. */
  name: string;
  /** Name of a registered congestion control. */
  congestion: string;
  source: FlowSource;
  /** Simulated nanoseconds since the scenario began; without `stopNs` the flow lasts to the end. */
  startNs: number;
  stopNs?: number;
  /** Which bottlenecks of a parking lot its data passes (default: every one there is). */
  crosses?: 'first' | 'second' | 'both';
  hosts?: Hosts;
}

/** How the two ends of a connection are set up. */
export interface Hosts {
  /** Segments that leave together at most, as the device takes them (sk_gso_max_segs); default 1. */
  gsoMaxSegs?: number;
  /** The receive buffer, in bytes; default 4 MiB at the start, 32 MiB at most. */
  receiveMemory?: ReceiveMemory;
  /** Without TCP timestamps (tcp_timestamps 0). */
  noTimestamps?: boolean;
  /**
   * The congestion control runs at the receiving end too, and sees the marks that arrive. Without it that end echoes each
   * mark for controls that need ECN, as the kernel's DCTCP does, and as RFC 3168 wants for others.
   */
  bothEnds?: boolean;
}

/** `setsockopt(TCP_CONGESTION)` on the socket of a flow that runs. */
export interface CongestionEvent {
  /** Simulated nanoseconds since the scenario began. */
  atNs: number;
  /** Name of the flow. */
  flow: string;
  /** Name of a registered congestion control. */
  congestion: string;
}

/** Flows that share a link, or two links one behind the other (a parking lot). */
export interface Scenario {
  link: LinkSpec;
  /** The second bottleneck; a flow that crosses both has the sum of their delays. */
  second?: LinkSpec;
  flows: FlowSpec[];
  /** Changes of congestion control while flows run. */
  events?: readonly CongestionEvent[];
  /** Simulated seconds. */
  seconds: number;
  /** For random loss and everything else that is random. */
  seed: number;
  /** Samples to take, evenly spaced (default 200). */
  samples?: number;
}

/** A call of a member, with the socket's window before and after. */
export interface OpCall {
  flow: string;
  /** Simulated nanoseconds. */
  ns: number;
  member: CcMember;
  /** Arguments after the socket by the kernel's names; structures by their integer members. */
  args: Record<string, number | Record<string, number>>;
  /** Packets; `ssthresh` as the kernel has it (0x7fffffff: infinite). */
  before: { cwnd: number; ssthresh: number };
  after: { cwnd: number; ssthresh: number };
  /** u32, if the member gives one. */
  result?: number;
}

/** What happens at a flow's sender, at `ns` simulated nanoseconds. Segments are told by their numbers, from 0. */
export type SenderEvent = { flow: string; ns: number } & (
  | /** A segment leaves: `bytes` on the wire, headers included; `data` bytes of the stream `from` that one on. */ {
      kind: 'sent';
      seq: number;
      bytes: number;
      from: number;
      data: number;
    } /** An acknowledgment arrives: all below `ack`, and the ranges `sacks` above, ends exclusive. */
  | { kind: 'acked'; ack: number; sacks: readonly { start: number; end: number }[] }
  | /** The sender takes a segment, or its retransmission, for lost. */ { kind: 'lost'; seq: number }
  | { kind: 'state'; from: keyof typeof CA; to: keyof typeof CA }
  | /** After each acknowledgment and each change of state; `ssthresh` is null while it is infinite. */ {
      kind: 'metrics';
      cwnd: number;
      ssthresh: number | null;
      inFlight: number;
      srttUs: number;
      minRttUs: number;
      /** Bits a second; null unless the socket paces. */
      pacingBps: number | null;
    }
);
