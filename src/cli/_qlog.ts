import type { SenderEvent } from '../subsystems/index.ts';
import type { TextFile } from './_files.ts';

/** Bytes that a segment counts for in windows, and of an acknowledgment on the wire. */
const MSS = 1448;
const ACK_BYTES = 66;
/** qlog's events of packets are QUIC's; of its packet types this is the one for data. */
const PACKET_TYPE = '1RTT';

/**
 * A qlog file (draft-ietf-quic-qlog-main-schema, version 0.3, format JSON), written as the runs go on: a trace a run,
 * events of its flows told apart by `group_id`. Events are those of QUIC, as far as TCP has them: `transport:packet_sent`
 * and `packet_received` with acknowledged ranges, `recovery:packet_lost`, `metrics_updated`, `congestion_state_updated`.
 * Packet numbers count a flow's transmissions: a retransmission has its own.
 */
export class QlogFile {
  readonly #file: TextFile;
  #flows = new Map<string, FlowState>();
  #traces = 0;
  #events = 0;

  constructor(file: TextFile, title: string) {
    this.#file = file;
    file.write(`{"qlog_version":"0.3","qlog_format":"JSON","title":${JSON.stringify(title)},"traces":[`);
  }

  /** Begins the trace of a run. */
  run(title: string): void {
    this.#endTrace();
    const head = {
      title,
      vantage_point: { name: 'trampet', type: 'server' },
      common_fields: { protocol_type: ['TCP'], time_format: 'relative', reference_time: 0 },
    };
    this.#file.write(`${this.#traces++ > 0 ? ',' : ''}\n${JSON.stringify(head).slice(0, -1)},"events":[`);
    this.#events = 0;
    this.#flows = new Map();
  }

  event(event: SenderEvent): void {
    let flow = this.#flows.get(event.flow);
    if (flow === undefined) {
      flow = new FlowState();
      this.#flows.set(event.flow, flow);
    }
    const [name, data] = told(event, flow);
    if (data === undefined) return;
    const line = JSON.stringify({ time: event.ns / 1e6, name, group_id: event.flow, data });
    this.#file.write(`${this.#events++ > 0 ? ',' : ''}\n${line}`);
  }

  close(): void {
    this.#endTrace();
    this.#file.write('\n]}\n');
    this.#file.close();
  }

  #endTrace(): void {
    if (this.#traces > 0) this.#file.write('\n]}');
  }
}

/** Name and data of the event; no data if it tells nothing new. */
function told(event: SenderEvent, flow: FlowState): [name: string, data: object | undefined] {
  switch (event.kind) {
    case 'sent':
      return [
        'transport:packet_sent',
        {
          header: { packet_type: PACKET_TYPE, packet_number: flow.send(event.seq) },
          raw: { length: event.bytes, payload_length: event.data },
          frames: [{ frame_type: 'stream', stream_id: 0, offset: event.from, length: event.data }],
        },
      ];
    case 'acked':
      return [
        'transport:packet_received',
        {
          header: { packet_type: PACKET_TYPE, packet_number: flow.acks++ },
          raw: { length: ACK_BYTES },
          frames: [{ frame_type: 'ack', acked_ranges: flow.acknowledge(event.ack, event.sacks) }],
        },
      ];
    case 'lost':
      return ['recovery:packet_lost', { header: { packet_type: PACKET_TYPE, packet_number: flow.of(event.seq) } }];
    case 'state':
      return ['recovery:congestion_state_updated', { old: event.from, new: event.to }];
    case 'metrics':
      return [
        'recovery:metrics_updated',
        flow.changed({
          congestion_window: event.cwnd * MSS,
          bytes_in_flight: event.inFlight * MSS,
          smoothed_rtt: event.srttUs / 1000,
          min_rtt: event.minRttUs / 1000,
          ssthresh: event.ssthresh === null ? undefined : event.ssthresh * MSS,
          pacing_rate: event.pacingBps ?? undefined,
        }),
      ];
  }
}

/** Of a flow: which transmission was the last of each segment that is not acknowledged, and the metrics as last told. */
class FlowState {
  /** Acknowledgments that arrived. */
  acks = 0;
  #sent = 0;
  #una = 0;
  #metrics: Record<string, number | undefined> = {};
  readonly #last = new Map<number, number>();
  /** Selectively acknowledged segments: where to look for the next one that is not. */
  readonly #skip = new Map<number, number>();

  send(seq: number): number {
    this.#last.set(seq, this.#sent);
    return this.#sent++;
  }

  of(seq: number): number | undefined {
    return this.#last.get(seq);
  }

  /** Those metrics that are other than before. */
  changed(metrics: Record<string, number | undefined>): object | undefined {
    const news = Object.entries(metrics).filter(
      ([name, value]) => value !== undefined && this.#metrics[name] !== value,
    );
    this.#metrics = metrics;
    return news.length === 0 ? undefined : Object.fromEntries(news);
  }

  /** Packet numbers that this acknowledgment tells of for the first time, as ranges with both ends. */
  acknowledge(ack: number, sacks: readonly { start: number; end: number }[]): [number, number][] {
    const numbers: number[] = [];
    for (; this.#una < ack; this.#una++) {
      if (!this.#skip.delete(this.#una)) numbers.push(this.#last.get(this.#una)!);
      this.#last.delete(this.#una);
    }
    for (const { start, end } of sacks)
      for (let seq = this.#open(Math.max(start, ack)); seq < end; seq = this.#open(seq)) {
        const number = this.#last.get(seq);
        if (number !== undefined) numbers.push(number);
        this.#skip.set(seq, seq + 1);
      }
    return ranges(numbers.sort((a, b) => a - b));
  }

  /** The first segment from `seq` on that is not selectively acknowledged; the way there is shortened. */
  #open(seq: number): number {
    let end = seq;
    for (let next = this.#skip.get(end); next !== undefined; next = this.#skip.get(end)) end = next;
    for (let at = seq; at < end; ) {
      const next = this.#skip.get(at)!;
      this.#skip.set(at, end);
      at = next;
    }
    return end;
  }
}

function ranges(sorted: readonly number[]): [number, number][] {
  const found: [number, number][] = [];
  for (const number of sorted) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found;
}
