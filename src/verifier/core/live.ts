import { successors } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import type { Env, VerifierState } from './types.ts';

/** Rows of a frame's table: one per instruction of the function, each a set of 64 stack slots as two words. */
const WORDS = 8;
const READ = 0;
const WRITE = 2;
/** Slots that this instruction and all paths behind it write (`must_write_acc`). */
const ACC = 4;
const LIVE = 6;

/** What a function does to the stacks of its own and of the outer frames when reached by one call chain (`func_instance`). */
interface Instance {
  /** Call instructions that lead here, then the function's first slot. */
  chain: readonly number[];
  subprog: number;
  start: number;
  count: number;
  updated: boolean;
  dropped: boolean;
  seen: Uint8Array;
  /** The function that called this one in the chain. */
  caller: Instance | null;
  /** What this one calls, by {@link calleeKey}. */
  callees: Map<number, Instance>;
  /** Per frame, made when first needed. */
  frames: (Int32Array | undefined)[];
}

/**
 * Which stack slots may still be read, by call chain and instruction (kernel/bpf/liveness.c, 6.18). Reads and writes
 * are collected while paths are walked; {@link StackLiveness.update} spreads them through a function at its exits.
 */
export class StackLiveness {
  /** The outermost of each chain, by function. */
  private readonly roots = new Map<number, Instance>();
  private current: Instance | null = null;
  private writeAt = 0;
  private readonly writes = new Int32Array(16);
  private wrote = false;
  private readonly queried: Instance[] = [];
  private queriedAt = 0;

  private instanceOf(env: Env, state: VerifierState, frame: number): Instance {
    let found: Instance | null = null;
    for (let f = 0; f <= frame; f++) {
      const { callsite, subprogno } = state.frame[f]!;
      const siblings: Map<number, Instance> = found ? found.callees : this.roots;
      const key = found ? calleeKey(callsite, subprogno) : subprogno;
      let inner = siblings.get(key);
      if (inner === undefined) {
        inner = newInstance(env, found, callsite, subprogno);
        siblings.set(key, inner);
      }
      found = inner;
    }
    return found!;
  }

  private ensure(env: Env): Instance {
    this.current ??= this.instanceOf(env, env.cur, env.cur.curframe);
    return this.current;
  }

  /** The current frame is another one now (`bpf_reset_live_stack_callchain`). */
  leave(): void {
    this.current = null;
  }

  private table(instance: Instance, frame: number): Int32Array {
    instance.frames[frame] ??= new Int32Array(instance.count * WORDS);
    return instance.frames[frame];
  }

  private addRead(instance: Instance, frame: number, at: number, lo: number, hi: number): void {
    const table = this.table(instance, frame);
    const row = (at - instance.start) * WORDS;
    const newLo = lo & ~table[row + READ]!;
    const newHi = hi & ~table[row + READ + 1]!;
    const dead =
      (table[row + READ]! | lo) & ~table[row + LIVE]! || (table[row + READ + 1]! | hi) & ~table[row + LIVE + 1]!;
    if ((newLo | newHi) !== 0 && dead) instance.updated = true;
    table[row + READ]! |= lo;
    table[row + READ + 1]! |= hi;
  }

  /** The instruction at `at` may read slot `spi` of frame `frame` (`bpf_mark_stack_read`). */
  markRead(env: Env, frame: number, at: number, spi: number): void {
    const bit = 1 << (spi & 31);
    this.addRead(this.ensure(env), frame, at, spi < 32 ? bit : 0, spi < 32 ? 0 : bit);
  }

  /** Before an instruction is checked (`bpf_reset_stack_write_marks`). */
  begin(env: Env, at: number): void {
    this.ensure(env);
    this.writeAt = at;
    this.forgetWrites();
  }

  private forgetWrites(): void {
    if (this.wrote) this.writes.fill(0);
    this.wrote = false;
  }

  /** The current instruction certainly writes all of slot `spi` of frame `frame` (`bpf_mark_stack_write`). */
  markWrite(frame: number, spi: number): void {
    this.writes[2 * frame + (spi >> 5)]! |= 1 << (spi & 31);
    this.wrote = true;
  }

  /** After an instruction was checked (`bpf_commit_stack_write_marks`). */
  commit(): void {
    if (this.current) this.commitTo(this.current);
  }

  private commitTo(instance: Instance): void {
    const index = this.writeAt - instance.start;
    const again = instance.seen[index] === 1;
    for (let frame = 0; frame < instance.chain.length; frame++) {
      let lo = this.writes[2 * frame]!;
      let hi = this.writes[2 * frame + 1]!;
      if ((lo | hi) === 0 && !again) continue;
      const table = this.table(instance, frame);
      const row = index * WORDS + WRITE;
      const oldLo = table[row]!;
      const oldHi = table[row + 1]!;
      if (again) {
        lo &= oldLo;
        hi &= oldHi;
      }
      if (oldLo !== lo || oldHi !== hi) {
        table[row] = lo;
        table[row + 1] = hi;
        instance.updated = true;
      }
      // The kernel keeps the old set in 32 bits here.
      if (oldLo & ~lo) instance.dropped = true;
    }
    instance.seen[index] = 1;
    this.writeAt = 0;
  }

  /** Spreads what was collected in all functions of the current call chain (`bpf_update_live_stack`). */
  update(env: VerifierEnv): void {
    this.current = null;
    for (let frame = env.cur.curframe; frame >= 0; frame--) {
      const instance = this.instanceOf(env, env.cur, frame);
      if (!instance.updated) continue;
      this.spread(env, instance);
      instance.updated = false;
      instance.dropped = false;
    }
  }

  private spread(env: VerifierEnv, instance: Instance): void {
    if (instance.dropped)
      for (const table of instance.frames)
        for (let i = 0; table && i < instance.count; i++) table[i * WORDS + ACC] = table[i * WORDS + ACC + 1] = 0;
    const from = env.subprogs[instance.subprog]!.postorderStart;
    const to = env.subprogs[instance.subprog + 1]!.postorderStart;
    let rounds = 0;
    for (let changed = true; changed; ) {
      rounds++;
      changed = false;
      for (let frame = 0; frame < instance.chain.length; frame++) {
        const table = instance.frames[frame];
        if (!table) continue;
        for (let i = from; i < to; i++) if (this.step(env, instance, table, frame, env.postorder[i]!)) changed = true;
      }
    }
    if (env.input.logLevel & 2)
      env.verbose(`(${instance.chain.join(',')}) live stack update done in ${rounds} iterations\n`);
    if (instance.chain.length > 1) this.handOut(instance);
  }

  private step(env: VerifierEnv, instance: Instance, table: Int32Array, frame: number, at: number): boolean {
    const next = successors(env.insns, at);
    if (next.length === 0) return false;
    const row = (at - instance.start) * WORDS;
    let afterLo = 0;
    let afterHi = 0;
    let accLo = -1;
    let accHi = -1;
    for (const to of next) {
      const other = (to - instance.start) * WORDS;
      afterLo |= table[other + LIVE]!;
      afterHi |= table[other + LIVE + 1]!;
      accLo &= table[other + ACC]!;
      accHi &= table[other + ACC + 1]!;
    }
    accLo |= table[row + WRITE]!;
    accHi |= table[row + WRITE + 1]!;
    const liveLo = (afterLo & ~table[row + WRITE]!) | table[row + READ]!;
    const liveHi = (afterHi & ~table[row + WRITE + 1]!) | table[row + READ + 1]!;
    const liveSame = liveLo === table[row + LIVE] && liveHi === table[row + LIVE + 1];
    const accSame = accLo === table[row + ACC] && accHi === table[row + ACC + 1];
    if (liveSame && accSame) return false;
    const marked = table[row + READ]! | table[row + READ + 1]! | table[row + WRITE]! | table[row + WRITE + 1]!;
    if (env.input.logLevel & 2 && (marked || at === instance.start || env.aux[at]!.prunePoint)) {
      const where = `(${instance.chain.join(',')}) frame ${frame} insn ${at} `;
      if (!liveSame)
        env.verbose(where + changeText('live', table[row + LIVE]!, table[row + LIVE + 1]!, liveLo, liveHi));
      if (!accSame) env.verbose(where + changeText('written', table[row + ACC]!, table[row + ACC + 1]!, accLo, accHi));
    }
    table[row + LIVE] = liveLo;
    table[row + LIVE + 1] = liveHi;
    table[row + ACC] = accLo;
    table[row + ACC + 1] = accHi;
    return true;
  }

  /** The function's marks on outer frames become marks of the call that reached it. */
  private handOut(instance: Instance): void {
    const depth = instance.chain.length - 1;
    const callsite = instance.chain[depth - 1]!;
    const outer = instance.caller!;
    this.writeAt = callsite;
    this.forgetWrites();
    this.wrote = true;
    for (let frame = 0; frame < depth; frame++) {
      const table = instance.frames[frame];
      if (!table) continue;
      this.writes[2 * frame] = table[ACC]!;
      this.writes[2 * frame + 1] = table[ACC + 1]!;
      this.addRead(outer, frame, callsite, table[LIVE]!, table[LIVE + 1]!);
    }
    this.commitTo(outer);
  }

  /** Prepares {@link alive} for `state` (`bpf_live_stack_query_init`). */
  query(env: Env, state: VerifierState): void {
    let at: Instance | null = this.instanceOf(env, state, state.curframe);
    this.queried.length = state.curframe + 1;
    for (let f = state.curframe; at; f--, at = at.caller) this.queried[f] = at;
    this.queriedAt = state.insnIdx;
  }

  /** Whether slot `spi` of frame `frame` may be read from the queried state on (`bpf_stack_slot_alive`). */
  alive(env: Env, frame: number, spi: number): boolean {
    const last = this.queried.length - 1;
    const inner = this.queried[last]!;
    if (isLive(inner, this.queriedAt, frame, spi)) return true;
    for (let i = frame; i < last; i++) {
      const callsite = inner.chain[i]!;
      const at = env.aux[callsite]!.callsCallback ? callsite : callsite + 1;
      if (isLive(this.queried[i]!, at, frame, spi)) return true;
    }
    return false;
  }
}

/** A callee by where it is called; there are at most 256 functions. */
const calleeKey = (callsite: number, subprogno: number): number => callsite * 256 + subprogno;

function newInstance(env: Env, caller: Instance | null, callsite: number, subprog: number): Instance {
  const { start } = env.subprogs[subprog]!;
  const count = env.subprogs[subprog + 1]!.start - start;
  return {
    chain: caller ? [...caller.chain.slice(0, -1), callsite, start] : [start],
    subprog,
    start,
    count,
    updated: false,
    dropped: false,
    seen: new Uint8Array(count),
    caller,
    callees: new Map(),
    frames: [],
  };
}

function isLive(instance: Instance, at: number, frame: number, spi: number): boolean {
  const table = instance.frames[frame];
  return table !== undefined && (table[(at - instance.start) * WORDS + LIVE + (spi >> 5)]! & (1 << (spi & 31))) !== 0;
}

function slotsText(lo: number, hi: number): string {
  const slots: number[] = [];
  for (let i = 0; i < 64; i++) if ((i < 32 ? lo : hi) & (1 << (i & 31))) slots.push(-8 * (i + 1));
  return slots.join(',');
}

function changeText(name: string, oldLo: number, oldHi: number, newLo: number, newHi: number): string {
  const [upLo, upHi] = [newLo & ~oldLo, newHi & ~oldHi];
  const [downLo, downHi] = [oldLo & ~newLo, oldHi & ~newHi];
  const up = upLo | upHi ? `+${name} ${slotsText(upLo, upHi)} ` : '';
  const down = downLo | downHi ? `-${name} ${slotsText(downLo, downHi)}` : '';
  return `${up}${down}\n`;
}
