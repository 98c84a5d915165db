import type { GateCall, GateDef, Kernel } from '../../../kernel/index.ts';
import type { GuestPtr } from '../../../machine/index.ts';
import { type TcpSock, tcpCongAvoidAi, tcpSlowStart } from '../sock.ts';
import { findSocket, useControl } from '../sockets.ts';
import { Bbr } from './bbr.ts';
import { Cubic } from './cubic.ts';
import { Dctcp } from './dctcp.ts';
import { FALLBACK, findModule } from './tables.ts';

/** What the modules keep for each kernel; made when first needed, as a kernel without them has no structs of theirs. */
interface State {
  cubic: Cubic;
  dctcp: Dctcp;
  bbr: Bbr;
}
const states = new WeakMap<Kernel, Partial<State>>();

function stateOf<Name extends keyof State>(
  kernel: Kernel,
  name: Name,
  make: (kernel: Kernel) => State[Name],
): State[Name] {
  let state = states.get(kernel);
  if (state === undefined) {
    state = {};
    states.set(kernel, state);
  }
  state[name] ??= make(kernel);
  return state[name]!;
}

/** A function's work: the socket, the registers with the arguments after it, what it returns. */
type Work = (sock: TcpSock, call: GateCall, kernel: Kernel) => number | undefined;

const u32 = (call: GateCall, index: number): number => call.lo(index) >>> 0;
const cubic = (kernel: Kernel) => stateOf(kernel, 'cubic', (k) => new Cubic(k));
const dctcp = (kernel: Kernel) => stateOf(kernel, 'dctcp', (k) => new Dctcp(k));
const bbr = (kernel: Kernel) => stateOf(kernel, 'bbr', (k) => new Bbr(k));

const FUNCTIONS: Readonly<Record<string, Work>> = {
  tcp_reno_ssthresh: (sock) => Math.max(sock.get('snd_cwnd') >>> 1, 2),
  tcp_reno_undo_cwnd: (sock) => Math.max(sock.get('snd_cwnd'), sock.get('prior_cwnd')),
  tcp_slow_start: (sock, call) => tcpSlowStart(sock, u32(call, 1)),
  tcp_cong_avoid_ai: (sock, call) => void tcpCongAvoidAi(sock, u32(call, 1), u32(call, 2)),
  tcp_reno_cong_avoid: (sock, call) => {
    if (!sock.isCwndLimited()) return undefined;
    const left = sock.inSlowStart() ? tcpSlowStart(sock, u32(call, 2)) : u32(call, 2);
    if (left > 0) tcpCongAvoidAi(sock, sock.get('snd_cwnd'), left);
    return undefined;
  },
  cubictcp_init: (sock, _, k) => void cubic(k).init(sock),
  cubictcp_recalc_ssthresh: (sock, _, k) => cubic(k).ssthresh(sock),
  cubictcp_cong_avoid: (sock, call, k) => void cubic(k).congAvoid(sock, u32(call, 2)),
  cubictcp_state: (sock, call, k) => void cubic(k).setState(sock, call.lo(1) & 0xff),
  cubictcp_cwnd_event: (sock, call, k) => void cubic(k).cwndEvent(sock, call.lo(1)),
  cubictcp_acked: (sock, call, k) => void cubic(k).pktsAcked(sock, call.ptr(1)),
  dctcp_init: (sock, _, k) => {
    if (!dctcp(k).init(sock)) useControl(k, sock.pointer, findModule(k, FALLBACK)!);
    return undefined;
  },
  dctcp_update_alpha: (sock, _, k) => void dctcp(k).updateAlpha(sock),
  dctcp_cwnd_event: (sock, call, k) => void dctcp(k).cwndEvent(sock, call.lo(1)),
  dctcp_ssthresh: (sock, _, k) => dctcp(k).ssthresh(sock),
  dctcp_cwnd_undo: (sock, _, k) => dctcp(k).undoCwnd(sock),
  dctcp_state: (sock, call, k) => void dctcp(k).setState(sock, call.lo(1) & 0xff),
  bbr_init: (sock, _, k) => void bbr(k).init(sock),
  bbr_main: (sock, call, k) => void bbr(k).main(sock, call.ptr(bbr(k).sampleArgument)),
  bbr_sndbuf_expand: () => 3,
  bbr_undo_cwnd: (sock, _, k) => bbr(k).undoCwnd(sock),
  bbr_cwnd_event: (sock, call, k) => void bbr(k).cwndEvent(sock, call.lo(1)),
  bbr_ssthresh: (sock, _, k) => bbr(k).ssthresh(sock),
  bbr_min_tso_segs: (sock, _, k) => bbr(k).minTsoSegs(sock),
  bbr_set_state: (sock, call, k) => void bbr(k).setState(sock, call.lo(1) & 0xff),
};

/** The functions of the kernel's congestion controls, which programs may call and its own tables hold. */
export function moduleGates(kernel: () => Kernel): GateDef[] {
  return Object.entries(FUNCTIONS).map(([name, work]) => ({
    name,
    handler: (call) => {
      const k = kernel();
      const socket = findSocket(k, call.ptr(0) as GuestPtr);
      const result = socket === undefined ? 0 : work(socket.sock, call, k);
      if (typeof result === 'number') call.ret(result | 0);
    },
  }));
}
