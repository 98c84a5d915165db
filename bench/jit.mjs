// BPF instructions compiled a second, by program length: npm run build && node bench/jit.mjs

import { readFileSync } from 'node:fs';
import { readBtf } from '../dist/btf/index.js';
import { jitFunction } from '../dist/jit/index.js';
import { CFI_HASHES, makeTarget } from '../dist/target/index.js';

const btf = readBtf(readFileSync(new URL('../data/btf/vmlinux-6.12.btf', import.meta.url)));
const target = makeTarget({ release: '6.12', cfi: 'fineibt', btf });
const symbols = {
  callBase: 0x81000000,
  returnThunk: 0,
  indirectThunks: 0,
  indirectJumpThunks: 0,
  itsThunks: 0,
  callDepth: 0,
  thisCpuOffset: 0,
  clearBhbLoop: 0,
};
const ctx = {
  features: target.features,
  era: target.era,
  offsets: target.offsets,
  hashes: CFI_HASHES,
  symbols,
  accountedCallees: new Set(),
  taskSizeMax: { lo: 0xfffff000, hi: 0x7fff },
  vsyscall: { lo: 0xff600000, hi: -1 },
};
const alternatives = [
  [0x0f, 1, 2, 0, 0],
  [0xb7, 3, 0, 0, 77],
  [0x7b, 10, 1, -8, 0],
  [0x79, 4, 10, -8, 0],
  [0x67, 1, 0, 0, 3],
  [0xbf, 5, 4, 0, 0],
];
let first;
for (const length of [600, 6_000, 60_000]) {
  const insns = Array.from({ length }, (_, i) => {
    const [code, dst, src, off, imm] = alternatives[i % alternatives.length];
    return { code, dst, src, off, imm };
  });
  insns.push({ code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
  const fn = {
    insns,
    stackDepth: 8,
    isSubprogram: false,
    tailCallReachable: false,
    exceptionCallback: false,
    exceptionBoundary: false,
    fromClassic: false,
    unprivileged: false,
  };
  const rounds = Math.ceil(600_000 / length);
  jitFunction(fn, ctx, () => 0xc0000000);
  const start = performance.now();
  for (let i = 0; i < rounds; i++) jitFunction(fn, ctx, () => 0xc0000000);
  const rate = (rounds * length) / (performance.now() - start) / 1000;
  first ??= rate;
  console.log(
    `${String(length).padStart(6)} instructions: ${rate.toFixed(2)} M/s, ${(rate / first).toFixed(2)} of the shortest's rate`,
  );
}
