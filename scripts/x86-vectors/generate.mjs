// Records what this CPU makes of the machine's instructions, for test/machine/vectors.test.ts:
//   npm run build && node scripts/x86-vectors/generate.mjs        (needs an x86-64 CPU with BMI2, and clang or gcc)
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random, toHex } from '../../dist/base/index.js';
import { Emitter, X } from '../../dist/x86/index.js';

const CASES = 2;
const EDGES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
];
const FLAGS = { CF: 1, PF: 4, ZF: 0x40, SF: 0x80, OF: 0x800 };
const ALL = 0x8c5;
const random = new Random(20240501);
const value = () =>
  random.below(3) === 0 ? EDGES[random.below(EDGES.length)] : (BigInt(random.u32()) << 32n) | BigInt(random.u32());

/** [code, mask of defined flags, memory?] */
const forms = [];
const form = (mask, memory, write) => {
  const e = new Emitter();
  write(e);
  forms.push({ code: toHex(e.take()), mask, memory });
};
const RBX = 3;
const pairs = [
  [0, 1],
  [8, 2],
  [15, 9],
  [6, 6],
];
for (const name of ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp']) {
  for (const [rm, reg] of pairs) {
    for (const size of [2, 4, 8]) form(ALL, false, (e) => e.reg(X[`${name}_EvGv`], size, rm, reg));
    form(ALL, false, (e) => e.reg(X[`${name}_EbGb`], 1, rm, reg));
    for (const size of [4, 8])
      form(ALL, false, (e) => e.regImm8(X[`${name}_EvIb`], size, rm, 0x80 + random.below(128)));
    for (const size of [4, 8]) form(ALL, false, (e) => e.regImm32(X[`${name}_EvIz`], size, rm, random.u32() | 0));
  }
  for (const size of [2, 4, 8]) form(ALL, true, (e) => e.mem(X[`${name}_EvGv`], size, RBX, 0, 10));
  for (const size of [4, 8]) form(ALL, true, (e) => e.mem(X[`${name}_GvEv`], size, RBX, 8, 10));
  form(ALL, true, (e) => (e.mem(X[`${name}_EvIb`], 8, RBX, 0), e.u8(0x91)));
  form(ALL, true, (e) => (e.mem(X[`${name}_EbIb`], 1, RBX, 3), e.u8(0x91)));
  form(ALL, false, (e) => (e.op(X[`${name}_rAXIz`], 8), e.u32(0x87654321)));
}
for (const size of [4, 8]) {
  form(ALL, false, (e) => e.reg(X.test_EvGv, size, 11, 12));
  form(ALL, false, (e) => e.regImm32(X.test_EvIz, size, 11, 0x80808080 | 0));
  for (const name of ['not', 'neg']) for (const r of [0, 13]) form(ALL, false, (e) => e.reg(X[`${name}_Ev`], size, r));
  for (const name of ['inc', 'dec']) form(ALL, false, (e) => e.reg(X[`${name}_Ev`], size, 14));
  for (const name of ['shl', 'shr', 'sar', 'rol', 'ror']) {
    form(ALL, false, (e) => e.reg(X[`${name}_Ev1`], size, 10));
    for (const count of [2, 7, 31, 32, 63]) {
      const effective = count & (size === 8 ? 63 : 31);
      form(effective === 0 ? ALL : ALL & ~FLAGS.OF, false, (e) => e.regImm8(X[`${name}_EvIb`], size, 10, count));
    }
    form(ALL & ~FLAGS.OF, false, (e) => e.reg(X[`${name}_EvCL`], size, 10));
  }
  for (const row of [X.shlx_GyEyBy, X.shrx_GyEyBy, X.sarx_GyEyBy]) form(ALL, false, (e) => e.vex(row, size, 8, 9, 2));
  form(FLAGS.CF | FLAGS.OF, false, (e) => e.reg(X.imul_GvEv, size, 9, 1));
  form(FLAGS.CF | FLAGS.OF, false, (e) => e.regImm8(X.imul_GvEvIb, size, 9, 0x85, 1));
  form(FLAGS.CF | FLAGS.OF, false, (e) => e.regImm32(X.imul_GvEvIz, size, 9, 0x12345, 1));
  form(FLAGS.CF | FLAGS.OF, false, (e) => e.reg(X.mul_Ev, size, 9));
  form(FLAGS.CF | FLAGS.OF, false, (e) => e.reg(X.imul_Ev, size, 9));
  for (const name of ['div', 'idiv']) {
    form(0, false, (e) => e.reg(X[`${name}_Ev`], size, 9));
    form(
      0,
      false,
      (e) => (name === 'div' ? e.reg(X.xor_EvGv, 4, 2, 2) : e.op(X.cdq, size), e.reg(X[`${name}_Ev`], size, 9)),
    );
  }
  form(ALL, false, (e) => e.plus(X.bswap_Zy, size, 12));
  for (const row of [X.movzx_GvEb, X.movzx_GvEw, X.movsx_GvEb, X.movsx_GvEw])
    form(ALL, false, (e) => e.reg(row, size, 6, 13));
  form(ALL, false, (e) => e.op(X.cdq, size));
  form(ALL, false, (e) => e.op(X.cwde, size));
  form(ALL, true, (e) => e.mem(X.xchg_EvGv, size, RBX, 0, 9));
  form(ALL, true, (e) => (e.u8(0xf0), e.mem(X.xadd_EvGv, size, RBX, 0, 9)));
  form(ALL, true, (e) => (e.u8(0xf0), e.mem(X.cmpxchg_EvGv, size, RBX, 0, 9)));
  form(ALL, false, (e) => e.reg(X.xchg_EvGv, size, 8, 9));
  for (let cc = 0; cc < 16; cc++) form(ALL, false, (e) => e.reg(X.cmovcc_GvEv[cc], size, 9, 10));
}
for (let cc = 0; cc < 16; cc++) form(ALL, false, (e) => (e.reg(X.cmp_EvGv, 8, 0, 1), e.reg(X.setcc_Eb[cc], 1, 8)));
for (let cc = 0; cc < 16; cc++) form(ALL, false, (e) => (e.reg(X.cmp_EvGv, 4, 0, 1), e.reg(X.setcc_Eb[cc], 1, 8)));
for (let cc = 0; cc < 16; cc++) form(ALL, false, (e) => (e.reg(X.add_EvGv, 8, 0, 1), e.reg(X.setcc_Eb[cc], 1, 8)));
form(ALL & ~FLAGS.OF, false, (e) => e.regImm8(X.ror_EvIb, 2, 9, 8));
form(ALL, false, (e) => e.reg(X.movsxd_GvEd, 8, 9, 1));
form(ALL, false, (e) => e.memIndex(X.lea_GvM, 8, 1, 2, 4, -5, 9));
for (const row of [X.movzx_GvEb, X.movzx_GvEw, X.movsx_GvEb, X.movsx_GvEw, X.movsxd_GvEd])
  form(ALL, true, (e) => e.mem(row, 8, RBX, 3, 9));
for (const size of [2, 4, 8]) form(ALL, true, (e) => e.mem(X.mov_EvGv, size, RBX, 5, 9));
form(ALL, true, (e) => e.mem(X.mov_EbGb, 1, RBX, 5, 6));
form(ALL, true, (e) => (e.mem(X.mov_EvIz, 8, RBX, 0), e.u32(0x87654321)));
form(ALL, false, (e) => (e.plus(X.push_Zq, 8, 9), e.plus(X.pop_Zq, 8, 13)));

const lines = [];
const cases = [];
for (const { code, mask, memory } of forms) {
  for (let i = 0; i < CASES; i++) {
    const registers = Array.from({ length: 16 }, value);
    if (memory) registers[RBX] = 0x10000000n;
    const flags = random.u32() & ALL & ~0x400;
    const words = [value(), value()];
    cases.push({ code, mask, input: [...registers, BigInt(flags | 2), ...words] });
    lines.push([code, ...[...registers, BigInt(flags | 0x202), ...words].map((word) => word.toString(16))].join(' '));
  }
}
const folder = mkdtempSync(join(tmpdir(), 'trampet-vectors-'));
const program = join(folder, 'native');
const compiler = ['clang', 'clang-19', 'gcc'].find((tool) => spawnSync(tool, ['--version']).status === 0);
const built = spawnSync(compiler, ['-O1', '-o', program, fileURLToPath(new URL('native.c', import.meta.url))], {
  encoding: 'utf8',
});
if (built.status !== 0) throw new Error(built.stderr);
const { stdout } = spawnSync(program, { input: `${lines.join('\n')}\n`, encoding: 'utf8', maxBuffer: 1 << 26 });
const results = stdout.trim().split('\n');
const word = (n) => n.toString(16);
const out = cases.map(({ code, mask, input }, i) => {
  if (results[i] === 'fault') return [code, mask, input.map(word).join(' '), 'fault'];
  const after = results[i].trim().split(' ');
  // Only what changed.
  const changed = after
    .map((text, n) =>
      n === 4 || BigInt(`0x${text}`) === (n === 16 ? input[16] & 0x8c5n : input[n]) ? '' : `${n}=${text}`,
    )
    .filter(Boolean);
  return [code, mask, input.map(word).join(' '), changed.join(' ')];
});
const target = fileURLToPath(new URL('../../test/golden/machine/vectors.json', import.meta.url));
writeFileSync(target, `[\n${out.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`);
console.log(`${out.length} cases of ${forms.length} instructions`);
