// tcp: the owner of tcp_congestion_ops, and a sender and receiver that call its members.
// Takes: tables that BPF implements, a link. Gives: a registry of congestion controls, flows with their samples.
// Mirrors: net/ipv4/bpf_tcp_ca.c, tcp_cong.c, tcp_input.c, tcp_output.c, tcp_rate.c (6.18).
// Leaves out: GRO, small queues, zero windows (docs/parity/tcp.md lists it all).
// State that programs may look at is in the guest's struct tcp_sock.

export { congestionControls, findCongestionControl } from './controls.ts';
export { type FlowOptions, type FlowResult, runFlow } from './flow.ts';
export {
  type FlowReport,
  type FlowSample,
  type FlowsHooks,
  type FlowsResult,
  type HostAction,
  jainIndex,
  runFlows,
} from './flows.ts';
export { Jiffies } from './jiffies.ts';
export { CC_MEMBERS, type CcMember, CongestionOps } from './ops.ts';
export type { AckPacket, DataPacket, ReceiverOptions } from './packets.types.ts';
export { Receiver } from './receiver.ts';
export { ReceivingSocket } from './receiving_socket.ts';
export type { CongestionEvent, FlowSource, FlowSpec, Hosts, OpCall, Scenario, SenderEvent } from './scenario.types.ts';
export { Sender } from './sender.ts';
export type { SenderOptions } from './sender.types.ts';
export { TcpSock } from './sock.ts';
export { forgetSocket, registerSocket, setCongestionControl } from './sockets.ts';
export { tcpSubsystem } from './tcp_ca.ts';
export { traceCalls } from './trace_calls.ts';
export type { Burst } from './writer.ts';
