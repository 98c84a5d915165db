/** A range of segments, its end exclusive. */
export interface SackBlock {
  start: number;
  end: number;
}

/** A segment that waits for a hole to be filled. */
export interface Waiting {
  bytes: number;
  fin: boolean;
  memory: number;
}

/** TCP_NUM_SACKS. */
const BLOCKS = 4;
const NONE: readonly SackBlock[] = [];

/** What arrived above a hole, and the SACK blocks that tell of it, the newest first (tcp_sack_new_ofo_skb, 6.18). */
export class OutOfOrder {
  readonly #waiting = new Map<number, Waiting>();
  #blocks: SackBlock[] = [];
  #end = 0;

  get empty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Segments from `next` to the end of what arrived at all. */
  reach(next: number): number {
    return this.empty ? 0 : this.#end - next;
  }

  /** Whether the segment was not here yet. */
  add(seq: number, segment: Waiting): boolean {
    if (this.#waiting.has(seq)) return false;
    this.#waiting.set(seq, segment);
    this.#end = Math.max(this.#end, seq + 1);
    return true;
  }

  /** Takes segment `seq` out, if it is here. */
  take(seq: number): Waiting | undefined {
    const segment = this.#waiting.get(seq);
    if (segment === undefined) return undefined;
    this.#waiting.delete(seq);
    return segment;
  }

  /** Which block a range continues; the number of blocks if none. */
  placeOf(range: SackBlock): number {
    const at = this.#blocks.findIndex((block) => touches(block, range));
    return at < 0 ? this.#blocks.length : at;
  }

  /** Puts the block that a range belongs to in front, and lets it swallow others that it reaches. */
  noteBlock(range: SackBlock): void {
    const blocks = this.#blocks;
    const at = blocks.findIndex((block) => touches(block, range));
    if (at < 0) {
      blocks.unshift({ ...range });
      if (blocks.length > BLOCKS) blocks.pop();
      return;
    }
    const front = blocks[at]!;
    blocks.splice(at, 1);
    extend(front, range);
    this.#blocks = [front, ...blocks.filter((block) => !touches(front, block) || !extend(front, block))];
  }

  /** tcp_sack_remove. */
  forgetBelow(next: number): void {
    if (this.empty) this.#blocks.length = 0;
    else this.#blocks = this.#blocks.filter(({ start }) => start > next);
  }

  blocks(most: number): readonly SackBlock[] {
    if (this.#blocks.length === 0) return NONE;
    return this.#blocks.slice(0, most).map((block) => ({ ...block }));
  }
}

const touches = (block: SackBlock, other: SackBlock): boolean => other.start <= block.end && block.start <= other.end;

function extend(block: SackBlock, by: SackBlock): true {
  block.start = Math.min(block.start, by.start);
  block.end = Math.max(block.end, by.end);
  return true;
}
