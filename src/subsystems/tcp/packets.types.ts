import type { WirePacket } from '../../net/index.ts';
import type { SackBlock } from './out_of_order.ts';
import type { ReceiveMemory } from './receive_window.ts';
import type { ReceivingSocket } from './receiving_socket.ts';

/** A data segment. */
export interface DataPacket extends WirePacket {
  /** Its number, counted from the first data segment. */
  seq: number;
  /** Bytes of data, the sequence number after them, and whether the stream ends there. */
  bytes: number;
  endByte: number;
  fin: boolean;
  /** End of a write (PSH). */
  push: boolean;
  /** Congestion window reduced: answers ECE. */
  cwr: boolean;
  /** TCP timestamps: when it was sent, and that of the newest acknowledgment that had come, in nanoseconds. */
  sentAt: number;
  echo: number;
}

/** An acknowledgment. */
export interface AckPacket {
  /** First segment that is missing. */
  ack: number;
  /** Ranges above `ack` that have arrived, the newest first, ends exclusive. */
  sacks: readonly SackBlock[];
  /** Segments that arrived twice (D-SACK), told once, and the sequence number after them. */
  dsack: (SackBlock & { endByte: number }) | undefined;
  ece: boolean;
  /** Advertised window, bytes from `ack`. */
  window: number;
  /** TCP timestamps: when it was sent, and the echo of the oldest segment that it answers, in nanoseconds. */
  sentAt: number;
  echo: number;
}

/** How the receiving host is set up. */
export interface ReceiverOptions {
  memory?: ReceiveMemory;
  /** TCP timestamps; without them four SACK blocks fit instead of three. */
  timestamps?: boolean;
  /** The congestion control that runs at this end too. */
  socket?: ReceivingSocket;
}
