// Guest instructions a second on three tight loops: npm run build && node bench/machine.mjs
import { GuestMemory, Machine } from '../dist/machine/index.js';
import { Emitter, X } from '../dist/x86/index.js';

const COUNT = 10_000_000;
/** A loop's body; `calls` calls the function that follows the loop. */
const loops = {
  arithmetic: (e) => (e.reg(X.add_EvGv, 8, 0, 1), e.regImm8(X.xor_EvIb, 8, 0, 0x55), e.regImm8(X.shl_EvIb, 8, 2, 3)),
  memory: (e) => (e.mem(X.mov_EvGv, 8, 4, -16, 1), e.mem(X.mov_GvEv, 8, 4, -16, 2), e.mem(X.mov_GvEv, 4, 4, -12, 3)),
  calls: (e) => e.rel32(X.call_Jz, 7),
};
for (const [name, body] of Object.entries(loops)) {
  const memory = new GuestMemory(1 << 20);
  memory.mapRegion('text', 0xffffffff81000000n, 4096, 'rx');
  memory.mapRegion('stack', 0xffffc90060000000n, 65536);
  const machine = new Machine(memory, { ibt: true });
  const e = new Emitter();
  e.raw(0x0f, 0x01, 0xc1);
  e.nops(13);
  e.plus(X.mov_ZvIv, 4, 1);
  e.u32(COUNT);
  const again = e.length;
  body(e);
  e.regImm8(X.sub_EvIb, 8, 1, 1);
  e.rel8(X.jcc_Jb[5], again - e.length - 2);
  e.op(X.ret);
  e.op(X.ret);
  memory.poke(0x81000000, e.take());
  machine.hostReturn = 0x81000000;
  machine.setStack(0x6000f000);
  const start = performance.now();
  machine.call(0x81000010);
  console.log(`${name.padEnd(12)} ${(machine.instructions / (performance.now() - start) / 1000).toFixed(1)} MIPS`);
}
