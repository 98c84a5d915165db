import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/index.ts';
import { type Insn, readInsns } from '../../src/bpf/index.ts';
import {
  BREAK_WAYS,
  breakMember,
  KernelOops,
  loadObject,
  StructOpsLink,
  StructOpsMap,
} from '../../src/kernel/index.ts';
import { seedHash } from '../../src/target/index.ts';
import { boot, example, file, MODES, resolve, session } from '../support.ts';

const SSTHRESH = 0x0d1ab0f2;

describe('boot', () => {
  it.each(MODES)('%s, seed %i: stubs carry the seeded hash, sealed functions none', (cfi, seed) => {
    const kernel = boot(cfi, seed);
    const hash = kernel.cfiFuncHash(kernel.symbol('bpf_tcp_ca_ssthresh'));
    expect(hash).toBe(cfi === 'off' ? 0 : seedHash(SSTHRESH, seed, kernel.target.era));
    if (cfi !== 'off') expect(kernel.cfiFuncHash(kernel.symbol('sealed_tcp_congestion_ops_ssthresh'))).toBe(0);
    expect(kernel.cfiFuncHash(0x1000)).toBe(0);
    expect(kernel.log).toHaveLength(1);
  });

  it('refuses what no such kernel can have', () => {
    expect(() => boot('fineibt', 0, { callPadding: 0 })).toThrow('FineIBT needs');
    expect(() => boot('fineibt', 0, { cfiParanoid: true })).toThrow('no paranoid fineibt in Linux 6.12');
  });

  it('text cannot be written by the guest', () => {
    const kernel = boot('off');
    expect(kernel.memory.pagePerm[0x81000]! & 2).toBe(0);
  });
});

describe('ops tables', () => {
  it.each(MODES)('%s, seed %i: members run through their call sites', (cfi, seed) => {
    const { kernel, maps } = session(example('reno'), cfi, seed);
    const [map] = maps as [StructOpsMap];
    const sock = kernel.heap.alloc(kernel.btf.struct('tcp_sock').size);
    kernel.memory.setU32(sock + kernel.field('tcp_sock', 'snd_cwnd').offset, 20);
    // The kfunc does not know this socket and returns 0; what counts is that nothing traps.
    expect(kernel.callMember(map.kdata, map.type, 'ssthresh', [{ ptr: sock }]).lo).toBe(0);
    expect(map.members.map(({ member }) => member)).toEqual(['ssthresh', 'cong_avoid', 'undo_cwnd']);
    for (const { member, address } of map.members)
      expect(kernel.memory.ptr(map.kdata + kernel.field(map.type, member).offset)).toBe(address);
  });

  it.each([
    ['kcfi', 'call_tcp_congestion_ops_ssthresh'],
    ['fineibt', 'bpf__tcp_congestion_ops_ssthresh'],
  ] as const)('%s: one wrong byte in the hash traps in %s', (cfi, where) => {
    const { kernel, maps } = session(example('reno'), cfi);
    const { trampoline } = maps[0]!.members[0]!;
    const at = trampoline.address + (cfi === 'kcfi' ? 1 : 7);
    kernel.memory.poke(at, Uint8Array.of(kernel.memory.u8(at) ^ 1));
    let oops: unknown;
    try {
      kernel.callMember(maps[0]!.kdata, maps[0]!.type, 'ssthresh', [0]);
    } catch (error) {
      oops = error;
    }
    expect(oops).toBeInstanceOf(KernelOops);
    const { report } = oops as KernelOops;
    expect(report).toMatchObject({ kind: 'cfi', expected: SSTHRESH });
    expect(report.where.startsWith(where)).toBe(true);
    expect(report.lines[0]).toMatch(
      /^CFI failure at \S+ \(target: bpf__tcp_congestion_ops_ssthresh\+0x10\/0x[0-9a-f]+; expected type: 0x0d1ab0f2\)$/,
    );
  });

  it.each(MODES)('%s, seed %i: the hash from the stub is checked against the prototype', (cfi, seed) => {
    const { maps } = session(example('reno'), cfi, seed);
    for (const { hash, typeId } of maps[0]!.members) expect(typeId).toBe(cfi === 'off' ? undefined : hash);
    if (cfi === 'off') return;
    const other = boot(cfi, seed);
    const at = other.symbol('bpf_tcp_ca_cong_avoid') - (cfi === 'kcfi' ? 15 : 9);
    other.memory.poke(at, Uint8Array.of(other.memory.u8(at) ^ 0x80));
    const object = loadObject(other, resolve(example('reno')));
    const table = object.resolved.structOps[0]!;
    const map = new StructOpsMap(other, table);
    map.update(table, new Map(object.programs.map((program) => [program.name, program])));
    const wrong = map.members.filter(({ hash, typeId }) => hash !== typeId);
    expect(wrong).toMatchObject([{ member: 'cong_avoid', typeId: maps[0]!.members[1]!.hash }]);
  });

  it('registers once, deletes, and leaves nothing behind', () => {
    const kernel = boot('fineibt');
    const idle = [kernel.vmalloc.count, kernel.images.count];
    const loaded = loadObject(kernel, resolve(example('reno')));
    const programs = new Map(loaded.programs.map((program) => [program.name, program]));
    const [table] = loaded.resolved.structOps;
    const map = new StructOpsMap(kernel, table!);
    map.update(table!, programs);
    expect(map).toMatchObject({ state: 'INUSE', refcount: 2 });
    expect(() => map.update(table!, programs)).toThrow('-EBUSY');
    const twin = new StructOpsMap(kernel, table!);
    expect(() => twin.update(table!, programs)).toThrow('reg: -EEXIST');
    expect(twin.state).toBe('INIT');
    expect(kernel.log.at(-1)).toBe('TCP: ex_reno already registered or non-unique key');
    expect(map.lookup().state).toBe('INUSE');
    map.delete();
    expect(map.state).toBe('TOBEFREE');
    expect(() => map.delete()).toThrow('-EINPROGRESS');
    map.free();
    twin.free();
    loaded.unload();
    expect([kernel.vmalloc.count, kernel.images.count]).toEqual(idle);
  });

  it('links register, replace and detach', () => {
    const kernel = boot('kcfi');
    const loaded = loadObject(kernel, resolve(example('reno')));
    const programs = new Map(loaded.programs.map((program) => [program.name, program]));
    const table = { ...loaded.resolved.structOps[0]!, link: true };
    const first = new StructOpsMap(kernel, table);
    expect(() => new StructOpsLink(kernel, first)).toThrow('-EINVAL');
    first.update(table, programs);
    expect(first.state).toBe('READY');
    const link = new StructOpsLink(kernel, first);
    const second = new StructOpsMap(kernel, table);
    second.update(table, programs);
    link.update(second);
    expect(link.map).toBe(second);
    expect([first.refcount, second.refcount]).toEqual([1, 2]);
    link.detach();
    expect(() => link.update(first)).toThrow('-ENOLINK');
  });

  it.each([
    ['faulty_no_name', 'init_member(name): -EINVAL'],
    ['faulty_missing_member', 'validate: -EINVAL'],
    ['faulty_wrong_table', 'invalid reuse of prog shared'],
  ])('%s is refused: %s', (name, why) => {
    expect(() => session(example(name), 'fineibt')).toThrow(why);
  });

  it('a hole that is not zero, and a member that nobody takes, are -EINVAL', () => {
    const kernel = boot('off');
    const loaded = loadObject(kernel, resolve(example('reno')));
    const programs = new Map(loaded.programs.map((program) => [program.name, program]));
    const table = loaded.resolved.structOps[0]!;
    const withKey = table.data.slice();
    withKey[kernel.field('tcp_congestion_ops', 'key').offset] = 1;
    expect(() => new StructOpsMap(kernel, table).update({ ...table, data: withKey }, programs)).toThrow(
      'member key must be zero',
    );
    const flags = table.data.slice();
    flags[kernel.field('tcp_congestion_ops', 'flags').offset] = 8;
    expect(() => new StructOpsMap(kernel, table).update({ ...table, data: flags }, programs)).toThrow(
      'init_member(flags): -EINVAL',
    );
    expect(() => new StructOpsMap(kernel, { ...table, type: 'sched_ext_ops' })).toThrow('not supported in this kernel');
  });
});

describe('breaking a member on purpose', () => {
  const matrix = (['off', 'kcfi', 'fineibt'] as const).map((cfi) =>
    BREAK_WAYS.map((way) => {
      const { kernel, maps } = session(example('cubic'), cfi);
      const cell = breakMember(kernel, maps[0]!, 'ssthresh', way, [{ ptr: kernel.heap.alloc(4096) }]);
      return cell.trapped ? `${cell.report!.kind} ${cell.report!.where.replace(/\/.*/, '')}` : 'runs';
    }),
  );

  it('gives the matrix', () => {
    expect(matrix).toEqual([
      [
        'runs',
        'ibt bpf__tcp_congestion_ops_ssthresh+0x0',
        'ibt bpf__tcp_congestion_ops_ssthresh+0x4',
        'ibt sealed_tcp_congestion_ops_ssthresh+0x0',
        'ibt bpf__tcp_congestion_ops_ssthresh+0xc',
      ],
      [
        'cfi call_tcp_congestion_ops_ssthresh+0x17',
        'ibt bpf__tcp_congestion_ops_ssthresh+0x10',
        ...Array(3).fill('cfi call_tcp_congestion_ops_ssthresh+0x17'),
      ],
      [
        'cfi bpf__tcp_congestion_ops_cong_avoid+0xd',
        'ibt bpf__tcp_congestion_ops_ssthresh+0x0',
        'ibt bpf__tcp_congestion_ops_ssthresh+0x4',
        'ibt __cfi_sealed_tcp_congestion_ops_ssthresh+0x0',
        'ibt bpf__tcp_congestion_ops_ssthresh+0xc',
      ],
    ]);
  });
});

describe('loading', () => {
  it.each(['cc_renoish', 'cc_cuberoot', 'dummy_basic', 'cc_allops'])(
    '%s: final instructions have the shape that the kernel gave its JIT',
    (name) => {
      const kernel = boot('off');
      const loaded = loadObject(kernel, resolve(file(`test/golden/linux-6.12/obj/${name}.bpf.o`)));
      const golden = JSON.parse(new TextDecoder().decode(file(`test/golden/linux-6.12/golden/off/${name}.json`))) as {
        programs: { name: string; subprogs: { name: string; jitInsnsHex: string; stackDepth: number }[] }[];
      };
      for (const program of loaded.programs) {
        const wanted = golden.programs.find((candidate) => candidate.name === program.name)!;
        expect(program.functions.map((fn) => fn.name)).toEqual(wanted.subprogs.map((part) => part.name));
        program.functions.forEach((fn, i) => {
          const kernelInsns = readInsns(fromHex(wanted.subprogs[i]!.jitInsnsHex));
          // Calls and 64-bit loads hold addresses; their src and off keep tags of the loader that the JIT does not read.
          const shape = (insns: readonly Insn[]) =>
            insns.map(({ code, dst, src, off, imm }) =>
              code === 0x85 || code === 0x18 || code === 0 ? [code, dst] : [code, dst, src, off, imm],
            );
          expect(shape(fn.insns), `${program.name}/${fn.name}`).toEqual(shape(kernelInsns));
          expect((fn.stackDepth + 7) & ~7, `${program.name}/${fn.name} stack`).toBe(
            (wanted.subprogs[i]!.stackDepth + 7) & ~7,
          );
        });
      }
    },
  );
});
