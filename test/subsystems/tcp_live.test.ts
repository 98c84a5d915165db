import { describe, expect, it } from 'vitest';
import { loadObject, StructOpsLink, StructOpsMap } from '../../src/kernel/index.ts';
import { parseLink } from '../../src/net/index.ts';
import {
  CongestionOps,
  congestionControls,
  type FlowSpec,
  findCongestionControl,
  forgetSocket,
  type OpCall,
  registerSocket,
  runFlows,
  setCongestionControl,
  TcpSock,
} from '../../src/subsystems/index.ts';
import { boot, example, resolve, session } from '../support.ts';

const link = parseLink('20mbit,40ms,100p');
const flow = (name: string, congestion: string, more: Partial<FlowSpec> = {}): FlowSpec => ({
  name,
  congestion,
  source: { kind: 'bulk' },
  startNs: 0,
  ...more,
});

/** A kernel with two tables of the same name and programs, the first registered by a link. */
function linked() {
  const { kernel, loaded, programs, maps } = session(example('reno'), 'fineibt');
  maps[0]!.delete();
  maps[0]!.free();
  const table = { ...loaded.resolved.structOps[0]!, link: true };
  const make = () => {
    const map = new StructOpsMap(kernel, table);
    map.update(table, programs);
    return map;
  };
  const [first, second] = [make(), make()];
  return { kernel, first, second, link: new StructOpsLink(kernel, first) };
}

describe('tables that change while flows run', () => {
  it('a link update is for connections to come; those that there are keep the old table until they end', () => {
    const { kernel, first, second, link: held } = linked();
    const images = kernel.images.count;
    const refcounts: number[][] = [];
    const seen = () => refcounts.push([first.refcount, second.refcount]);
    runFlows(
      kernel,
      { link, flows: [flow('old', 'ex_reno'), flow('new', 'ex_reno', { startNs: 2e9 })], seconds: 3, seed: 1 },
      {
        actions: [
          { atNs: 0.5e9, run: seen },
          {
            atNs: 1e9,
            run: () => {
              held.update(second);
              first.free();
            },
          },
          { atNs: 1.5e9, run: seen },
          { atNs: 2.5e9, run: seen },
        ],
      },
    );
    // User, link and socket; then the socket alone. The flow that starts later takes the second table.
    expect(refcounts).toEqual([
      [3, 1],
      [1, 2],
      [1, 3],
    ]);
    expect([first.refcount, second.refcount]).toEqual([0, 2]);
    expect(kernel.images.count).toBe(images - 1);
    expect(congestionControls(kernel)).toEqual(['ex_reno']);
  });

  it('a table that is deleted serves the connections that have it, and no other', () => {
    const { kernel, maps, loaded } = session(example('reno'), 'fineibt');
    const map = maps[0]!;
    const calls: OpCall[] = [];
    const result = runFlows(
      kernel,
      { link, flows: [flow('a', 'ex_reno')], seconds: 3, seed: 1 },
      {
        onCall: (call) => calls.push(call),
        actions: [
          {
            atNs: 1e9,
            run: () => {
              map.delete();
              map.free();
              expect(map.refcount).toBe(1);
              expect(() => runFlows(kernel, { link, flows: [flow('b', 'ex_reno')], seconds: 1, seed: 1 })).toThrow(
                '-ENOENT',
              );
            },
          },
        ],
      },
    );
    expect(result.flows[0]!.goodputBps).toBeGreaterThan(16e6);
    expect(calls.at(-1)!.ns).toBeGreaterThan(2.9e9);
    expect(map.refcount).toBe(0);
    loaded.unload();
    expect(kernel.images.count).toBe(0);
  });

  it('setsockopt(TCP_CONGESTION): release of the old one, init of the new one on clean private memory', () => {
    const { kernel } = session(example('reno'), 'kcfi');
    const other = loadObject(kernel, resolve(example('cubic')));
    const programs = new Map(other.programs.map((program) => [program.name, program]));
    for (const table of other.resolved.structOps) new StructOpsMap(kernel, table).update(table, programs);
    const [reno, cubic] = congestionControls(kernel) as [string, string];
    const calls: OpCall[] = [];
    const { flows } = runFlows(
      kernel,
      {
        link,
        flows: [flow('a', reno)],
        events: [
          { atNs: 1e9, flow: 'a', congestion: cubic },
          { atNs: 2e9, flow: 'a', congestion: cubic },
        ],
        seconds: 3,
        seed: 1,
      },
      { onCall: (call) => calls.push(call) },
    );
    const ends = calls.filter(({ member, ns }) => (member === 'init' || member === 'release') && ns > 0);
    // Asking for what is there changes nothing.
    expect(ends.map(({ member, ns }) => `${member} ${ns / 1e9}`)).toEqual(
      kernel.structOpsMaps[0]!.members.some(({ member }) => member === 'release')
        ? ['release 1', 'init 1', 'release 3']
        : ['init 1'],
    );
    expect(flows[0]!.goodputBps).toBeGreaterThan(16e6);
  });

  it('a restricted control is for who has CAP_NET_ADMIN; a socket has what it asked for', () => {
    const kernel = boot('kcfi', 5);
    const ops = new CongestionOps(kernel, findCongestionControl(kernel, 'reno')!);
    const sock = new TcpSock(kernel);
    expect(setCongestionControl(kernel, sock.pointer, 'bbr')).toBe(-22);
    registerSocket(kernel, sock, ops);
    expect(setCongestionControl(kernel, sock.pointer, 'cubic', false)).toBe(-1);
    expect(setCongestionControl(kernel, sock.pointer, 'nobody', false)).toBe(-2);
    expect(setCongestionControl(kernel, sock.pointer, 'bbr', false)).toBe(0);
    const control = () => kernel.memory.ptr(sock.pointer + kernel.field('inet_connection_sock', 'icsk_ca_ops').offset);
    expect([ops.kdata, control()]).toEqual(Array(2).fill(findCongestionControl(kernel, 'bbr')));
    // BBR paces.
    expect(sock.get('sk_pacing_status')).toBe(1);
    expect(setCongestionControl(kernel, sock.pointer, 'dctcp')).toBe(0);
    // Without ECN, DCTCP is Reno under another name, which nobody can ask for.
    expect(control()).not.toBe(findCongestionControl(kernel, 'dctcp'));
    expect(ops.has('init')).toBe(false);
    forgetSocket(kernel, sock);
    sock.free();
    ops.release();
  });
});
