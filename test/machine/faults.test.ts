import { describe, expect, it } from 'vitest';
import { GuestFault, GuestMemory, Machine, MachineError } from '../../src/machine/index.ts';
import { Emitter, REG, X } from '../../src/x86/index.ts';

const TEXT = 0xffffffff81000000n;
const START = 0x81000000;
const DATA = 0x10010000;
const ENTRY = START + 64;

function machine(ibt = true): { memory: GuestMemory; cpu: Machine } {
  const memory = new GuestMemory(64 * 4096);
  memory.mapRegion('text', TEXT, 4 * 4096, 'rx');
  memory.mapRegion('data', 0xffff888010010000n, 2 * 4096);
  memory.mapRegion('stack', 0xffffc90060000000n, 4096);
  memory.poke(START, Uint8Array.of(0x0f, 0x01, 0xc1));
  const cpu = new Machine(memory, { ibt });
  cpu.hostReturn = START;
  cpu.setStack(0x60000f00);
  return { memory, cpu };
}

function place(memory: GuestMemory, write: (e: Emitter) => void, at = ENTRY): void {
  const e = new Emitter();
  write(e);
  memory.poke(at, e.take());
}

function faultOf(work: () => void): GuestFault['fault'] {
  try {
    work();
  } catch (error) {
    if (error instanceof GuestFault) return error.fault;
    throw error;
  }
  throw new Error('no fault');
}

const pointer = (e: Emitter, register: number, low: number, high: number) => e.movImm64(register, low, high);

describe('faults', () => {
  it.each([
    ['ud2', (e: Emitter) => e.op(X.ud2), '#UD'],
    ['udb', (e: Emitter) => e.op(X.udb), '#UD'],
    ['ea', (e: Emitter) => e.u8(0xea), '#UD'],
    ['int3', (e: Emitter) => e.op(X.int3), '#BP'],
    ['hlt', (e: Emitter) => e.op(X.hlt), '#GP'],
  ])('%s', (_, write, vector) => {
    const { memory, cpu } = machine();
    place(memory, (e) => (e.reg(X.mov_EvGv, 4, 0, 0), write(e)));
    expect(faultOf(() => cpu.call(ENTRY))).toEqual({ vector, rip: TEXT + 66n });
    expect(cpu.instructions).toBe(1);
  });

  it('text cannot be written, data not executed', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => (pointer(e, REG.rax, START | 0, -1), e.mem(X.mov_EvGv, 8, REG.rax, 8, REG.rcx)));
    expect(faultOf(() => cpu.call(ENTRY))).toMatchObject({
      vector: '#PF',
      access: 'write',
      present: true,
      address: TEXT + 8n,
      rip: TEXT + 74n,
    });
    place(memory, (e) => (pointer(e, REG.rax, DATA, 0xffff8880 | 0), e.reg(X.jmp_Eq, 8, REG.rax)));
    expect(faultOf(() => cpu.call(ENTRY))).toMatchObject({
      vector: '#PF',
      access: 'execute',
      present: true,
      address: 0xffff888010010000n,
    });
  });

  it('what is not mapped, and the upper half of an address, count', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => e.memAbsolute(X.mov_GvEv, 8, 0x10, REG.rcx));
    expect(faultOf(() => cpu.call(ENTRY))).toMatchObject({
      vector: '#PF',
      access: 'read',
      present: false,
      address: 0x10n,
    });
    place(memory, (e) => (pointer(e, REG.rax, DATA, 0xffff8881 | 0), e.mem(X.mov_GvEv, 8, REG.rax, 0, REG.rcx)));
    expect(faultOf(() => cpu.call(ENTRY))).toMatchObject({
      vector: '#PF',
      present: false,
      address: 0xffff888110010000n,
    });
    place(memory, (e) => (pointer(e, REG.rax, DATA, 0x12345678), e.mem(X.mov_GvEv, 8, REG.rax, 0, REG.rcx)));
    expect(faultOf(() => cpu.call(ENTRY))).toMatchObject({ vector: '#GP' });
  });

  it('accesses may cross pages of a region, and end with it', () => {
    const { memory, cpu } = machine();
    memory.setU64(DATA + 4092, 0x1122334455667);
    const read = (offset: number) => (e: Emitter) => (
      pointer(e, REG.rax, DATA, 0xffff8880 | 0), e.mem(X.mov_GvEv, 8, REG.rax, offset, REG.rax), e.op(X.ret)
    );
    place(memory, read(4092));
    cpu.call(ENTRY);
    expect((cpu.resultHi >>> 0) * 2 ** 32 + (cpu.resultLo >>> 0)).toBe(0x1122334455667);
    place(memory, read(8188));
    expect(faultOf(() => cpu.call(ENTRY))).toMatchObject({ vector: '#PF', address: 0xffff888010012000n });
  });

  it('division', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => (e.reg(X.xor_EvGv, 4, 1, 1), e.reg(X.div_Ev, 8, 1)));
    expect(faultOf(() => cpu.call(ENTRY)).vector).toBe('#DE');
  });

  it('a handled fault goes on where the handler says', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => (e.op(X.ud2), e.plus(X.mov_ZvIv, 4, REG.rax), e.u32(7), e.op(X.ret)));
    cpu.onFault = (own, fault) => {
      own.rip += 2;
      return fault.vector === '#UD';
    };
    cpu.call(ENTRY);
    expect(cpu.resultLo).toBe(7);
  });

  it('the budget ends an endless loop', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => e.rel8(X.jmp_Jb, -2));
    cpu.setBudget(1000);
    expect(faultOf(() => cpu.call(ENTRY)).vector).toBe('budget');
    expect(cpu.instructions).toBeLessThan(1100);
  });
});

describe('indirect branch tracking', () => {
  const jump = (memory: GuestMemory, row: typeof X.jmp_Eq, endbr: boolean) => {
    place(memory, (e) => (pointer(e, REG.r11, (START + 256) | 0, -1), e.reg(row, 8, REG.r11), e.op(X.ret)));
    place(memory, (e) => (e.op(endbr ? X.endbr64 : X.nop), e.op(X.ret)), START + 256);
  };

  it.each([X.jmp_Eq, X.call_Eq])('$mnemonic must land on endbr64', (row) => {
    const { memory, cpu } = machine();
    jump(memory, row, false);
    expect(faultOf(() => cpu.call(ENTRY))).toEqual({ vector: '#CP', rip: TEXT + 256n });
    jump(memory, row, true);
    cpu.call(ENTRY);
    jump(memory, row, false);
    const without = machine(false);
    jump(without.memory, row, false);
    without.cpu.call(ENTRY);
  });

  // Linux sets CET_ENDBR_EN alone in IA32_S_CET (setup_cet, arch/x86/kernel/cpu/common.c): without NO_TRACK_EN, 3e says nothing.
  it.each([X.jmp_Eq, X.call_Eq])('a notrack prefix does not excuse $mnemonic', (row) => {
    const { memory, cpu } = machine();
    place(memory, (e) => (pointer(e, REG.rax, (START + 256) | 0, -1), e.u8(0x3e), e.reg(row, 8, REG.rax), e.op(X.ret)));
    place(memory, (e) => (e.op(X.nop), e.op(X.ret)), START + 256);
    expect(faultOf(() => cpu.call(ENTRY))).toEqual({ vector: '#CP', rip: TEXT + 256n });
    place(memory, (e) => (e.op(X.endbr64), e.op(X.ret)), START + 256);
    cpu.call(ENTRY);
  });

  it('direct branches and returns may land anywhere', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => (e.rel32(X.call_Jz, 256 - 64 - 5), e.op(X.ret)));
    place(memory, (e) => e.op(X.ret), START + 256);
    cpu.call(ENTRY);
  });
});

describe('running', () => {
  it('hypercalls may call back, and text may change on the way', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => (e.op(X.vmcall), e.plus(X.mov_ZvIv, 4, REG.rax), e.u32(1), e.op(X.ret)));
    place(memory, (e) => (e.plus(X.mov_ZvIv, 4, REG.rax), e.u32(40), e.op(X.ret)), START + 512);
    let inner = 0;
    cpu.onHypercall = (own) => {
      own.call(START + 512);
      inner = own.resultLo;
      memory.poke(ENTRY + 4, Uint8Array.of(2));
    };
    cpu.call(ENTRY);
    expect([inner, cpu.resultLo]).toEqual([40, 2]);
  });

  it('traces every instruction, and steps', () => {
    const { memory, cpu } = machine();
    place(memory, (e) => (e.nops(3), e.plus(X.push_Zq, 8, 0), e.plus(X.pop_Zq, 8, 1), e.op(X.ret)));
    const seen: number[] = [];
    cpu.trace = (address) => seen.push(address - ENTRY);
    cpu.call(ENTRY);
    expect(seen.slice(0, 4)).toEqual([0, 3, 4, 5]);
    cpu.trace = undefined;
    cpu.rip = ENTRY;
    cpu.step();
    expect(cpu.rip).toBe(ENTRY + 3);
    expect(cpu.disassemble(cpu.rip)).toBe('push rax');
  });

  it('regions must not meet in their low halves', () => {
    const { memory } = machine();
    expect(() => memory.mapRegion('x', 0x81000000n, 4096)).toThrow(MachineError);
    expect(() => memory.mapRegion('x', 0x5000n, 1 << 30)).toThrow('no room');
    expect(() => memory.u32(0x5000)).toThrow('not mapped');
    expect(memory.copyNofault(0x5000, 4)).toBeUndefined();
  });
});
