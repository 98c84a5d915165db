// subsystems: owners of ops tables.
// Takes: a booted kernel and loaded programs.
// Gives: the tables' types, stubs and callbacks; what calls their members.
// Mirrors: net/bpf/bpf_dummy_struct_ops.c, net/ipv4/bpf_tcp_ca.c and the parts of net/ipv4/tcp_*.c that call them (6.12).
// Leaves out: every other owner (sched_ext, HID, qdisc).
export { dummySubsystem, type TestRunResult, testRun } from './dummy/dummy.ts';
export {
  type AckPacket,
  type Burst,
  CC_MEMBERS,
  type CcMember,
  type CongestionEvent,
  CongestionOps,
  congestionControls,
  type DataPacket,
  type FlowOptions,
  type FlowReport,
  type FlowResult,
  type FlowSample,
  type FlowSource,
  type FlowSpec,
  type FlowsHooks,
  type FlowsResult,
  findCongestionControl,
  forgetSocket,
  type HostAction,
  type Hosts,
  jainIndex,
  type OpCall,
  Receiver,
  registerSocket,
  runFlow,
  runFlows,
  type Scenario,
  Sender,
  type SenderEvent,
  type SenderOptions,
  setCongestionControl,
  TcpSock,
  tcpSubsystem,
  traceCalls,
} from './tcp/index.ts';
