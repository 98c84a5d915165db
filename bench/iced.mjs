// Lets iced-x86 judge a million generated instructions, both ways: what our encoder writes, iced-x86 must read as the same
// instruction; what our decoder makes of random operand bytes behind a known opcode, iced-x86 must make of it too.
// node bench/iced.mjs [COUNT] [SEED] after npm run build; exit code 1 if the two ever disagree.
import { Code, Decoder, DecoderOptions, Mnemonic } from 'iced-x86';
import { Random } from '../dist/base/index.js';
import { decode, Emitter, ROWS } from '../dist/x86/index.js';

const COUNT = Number(process.argv[2] ?? 1_000_000);
const SEED = Number(process.argv[3] ?? 1);
const SLOT = 16;
const SHOWN = 20;
/** Where the two name the same encoding differently. */
const ALIASES = { cdq: 'cqo', cqo: 'cdq', cwde: 'cdqe', ibhf: 'reservednop' };
/** Younger than iced-x86. */
const UNKNOWN_TO_ICED = new Set(['udb']);

const random = new Random(SEED);
const emitter = new Emitter();
const known = ROWS.filter(({ mnemonic }) => !UNKNOWN_TO_ICED.has(mnemonic));
const encodable = ROWS.filter(
  ({ modrm, fixedModrm, map, prefix }) => modrm && fixedModrm < 0 && map < 2 && prefix === 0,
);

/** Operand bytes that the row can have. */
function width(row) {
  if (row.byte) return 1;
  if (row.operands[0]?.size === 'q') return 8;
  const wanted = [2, 4, 8][random.below(3)];
  if (row.operands.some(({ size }) => size === 'd')) return 8;
  return row.operands.some(({ size }) => size === 'y') ? Math.max(4, wanted) : wanted;
}

/** An instruction as our encoder writes it. */
function encoded() {
  const row = encodable[random.below(encodable.length)];
  const bytes = width(row);
  const [rm, reg] = [random.below(16), random.below(16)];
  emitter.clear();
  if (row.operands.some(({ place }) => place === 'M') || random.below(2) === 0) {
    const far = random.below(2) === 0;
    emitter.mem(row, bytes, rm, far ? random.below(0x7fffffff) : random.below(256) - 128, reg, far ? 4 : 1);
  } else emitter.reg(row, bytes, rm, reg);
  if (row.immediate === 1) emitter.u8(random.below(256));
  else if (row.immediate === 'z') for (let i = 0; i < (bytes === 2 ? 2 : 4); i++) emitter.u8(random.below(256));
  return emitter.take();
}

/** An opcode that we know behind random prefixes, with random bytes after it. */
function scattered() {
  const row = known[random.below(known.length)];
  const bytes = [];
  if (random.below(3) === 0) bytes.push([0x66, 0x2e, 0x3e, 0x64, 0xf2, 0xf3][random.below(6)]);
  if (random.below(2) === 0) bytes.push(0x40 + random.below(16));
  if (row.map === 1) bytes.push(0x0f);
  bytes.push(row.opcode + (row.plusRegister ? random.below(8) : 0));
  while (bytes.length < SLOT - 1) bytes.push(random.below(256));
  return Uint8Array.from(bytes);
}

const judge = (bytes) => {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const insn = decoder.decode();
  const verdict =
    insn.code === Code.INVALID ? undefined : { length: insn.length, mnemonic: Mnemonic[insn.mnemonic].toLowerCase() };
  insn.free();
  decoder.free();
  return verdict;
};

const same = (ours, theirs) => ours === theirs || ALIASES[ours] === theirs || ALIASES[theirs] === ours;
const counts = { encoded: 0, decoded: 0, unknown: 0, differ: 0 };
const differ = (kind, bytes, ours, theirs) => {
  if (counts.differ++ < SHOWN)
    console.log(
      `${kind} ${Buffer.from(bytes).toString('hex')}: ${JSON.stringify(ours)} against ${JSON.stringify(theirs)}`,
    );
};

const start = performance.now();
for (let i = 0; counts.encoded + counts.decoded < COUNT; i++) {
  const isEncoded = i % 2 === 0;
  const bytes = isEncoded ? encoded() : scattered();
  const insn = decode(bytes, 0);
  const ours = insn.row === undefined ? undefined : { length: insn.length, mnemonic: insn.row.mnemonic };
  if (!isEncoded && ours === undefined) {
    counts.unknown++;
    continue;
  }
  counts[isEncoded ? 'encoded' : 'decoded']++;
  const theirs = judge(bytes);
  const agreed =
    ours !== undefined &&
    theirs !== undefined &&
    same(ours.mnemonic, theirs.mnemonic) &&
    ours.length === theirs.length &&
    (!isEncoded || ours.length === bytes.length);
  if (!agreed) differ(isEncoded ? 'encoded' : 'decoded', bytes, ours, theirs);
}
console.log(
  `seed ${SEED}: ${counts.encoded} encoded, ${counts.decoded} decoded, ${counts.unknown} not in the table; ` +
    `${counts.differ} judged differently; ${((performance.now() - start) / 1000).toFixed(1)} s`,
);
process.exitCode = counts.differ > 0 ? 1 : 0;
