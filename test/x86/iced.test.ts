import fc from 'fast-check';
import { Decoder, DecoderOptions, Formatter, FormatterSyntax, Mnemonic } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { decode, Emitter, listX86, ROWS, type Row, X } from '../../src/x86/index.ts';
import { file } from '../support.ts';

/** iced-x86's opinion of the first instruction. */
function iced(bytes: Uint8Array): { length: number; mnemonic: string; text: string } {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  const insn = decoder.decode();
  const result = {
    length: insn.length,
    mnemonic: Mnemonic[insn.mnemonic]!.toLowerCase(),
    text: formatter.format(insn),
  };
  insn.free();
  formatter.free();
  decoder.free();
  return result;
}

const ALIASES: Record<string, string> = { cdq: 'cqo', cqo: 'cdq', cwde: 'cdqe', movsxd: 'movsxd', ibhf: 'reservednop' };
const same = (ours: string, theirs: string) => ours === theirs || ALIASES[ours] === theirs || ALIASES[theirs] === ours;
const register = fc.integer({ min: 0, max: 15 });
const size = fc.constantFrom(1, 2, 4, 8);
const disp = fc.oneof(fc.integer({ min: -128, max: 127 }), fc.integer({ min: -0x80000000, max: 0x7fffffff }));
const pick = (test: (row: Row) => boolean) => ROWS.filter(test);

function check(e: Emitter, row: Row): void {
  const bytes = e.take();
  const judged = iced(bytes);
  expect(judged.length, `${row.mnemonic} ${judged.text}`).toBe(bytes.length);
  expect(same(row.mnemonic, judged.mnemonic), `${row.mnemonic} against ${judged.text}`).toBe(true);
  const own = decode(bytes, 0);
  expect(own.row?.mnemonic).toBe(row.mnemonic);
  expect(own.length).toBe(bytes.length);
}

const operandSize = (row: Row, wanted: number) =>
  row.byte
    ? 1
    : row.operands.some(({ size: s }) => s === 'd')
      ? 8
      : row.operands.some(({ size: s }) => s === 'y')
        ? Math.max(4, wanted)
        : Math.max(2, wanted);
const immediates = (e: Emitter, row: Row, bytes: number) => {
  if (row.immediate === 1) e.u8(0x12);
  else if (row.immediate === 'z') bytes === 2 ? e.raw(0x34, 0x12) : e.u32(0x12345678);
};

describe('the encoder, judged by iced-x86', () => {
  const modrm = pick((row) => row.modrm && row.fixedModrm < 0 && row.map < 2 && row.prefix === 0);

  it('register forms', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...modrm.filter((row) => row.operands.every(({ place }) => place !== 'M'))),
        register,
        register,
        size,
        (row, rm, reg, wanted) => {
          const e = new Emitter();
          const bytes = row.operands[0]?.size === 'q' ? 8 : operandSize(row, wanted);
          e.reg(row, bytes, rm, reg);
          immediates(e, row, bytes);
          check(e, row);
        },
      ),
      { numRuns: 3000, seed: 3 },
    );
  });

  it('memory forms', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...modrm),
        register,
        register,
        disp,
        size,
        fc.constantFrom(0, 1, 4),
        (row, base, reg, offset, wanted, width) => {
          const e = new Emitter();
          const bytes = row.operands[0]?.size === 'q' ? 8 : operandSize(row, wanted);
          e.mem(row, bytes, base, offset, reg, width as 0 | 1 | 4);
          immediates(e, row, bytes);
          check(e, row);
        },
      ),
      { numRuns: 3000, seed: 4 },
    );
  });

  it('indexed memory', () => {
    fc.assert(
      fc.property(
        register,
        register.filter((r) => r !== 4),
        fc.constantFrom(1, 2, 4, 8),
        disp,
        register,
        (base, index, scale, offset, reg) => {
          const e = new Emitter();
          e.memIndex(X.mov_GvEv, 8, base, index, scale, offset, reg);
          check(e, X.mov_GvEv);
        },
      ),
      { numRuns: 1000, seed: 5 },
    );
  });

  it('everything else', () => {
    for (const row of pick((candidate) => !candidate.modrm || candidate.fixedModrm >= 0)) {
      const e = new Emitter();
      if (row.plusRegister) {
        for (let r = 0; r < 16; r++) {
          e.clear();
          const bytes = row.byte ? 1 : 8;
          e.plus(row, bytes, r);
          if (row.immediate === 'v') for (let i = 0; i < 8; i++) e.u8(i);
          else if (row.immediate === 1) e.u8(1);
          if (row.byte && r >= 4 && r < 8) continue;
          check(e, row);
        }
        continue;
      }
      e.op(row, row.mnemonic === 'ibhf' ? 8 : 4);
      if (row.immediate === 2) e.raw(8, 0);
      else immediates(e, row, 4);
      if (row.mnemonic === 'ibhf' || row.mnemonic === 'udb') continue;
      check(e, row);
    }
    for (const row of [X.shlx_GyEyBy, X.sarx_GyEyBy, X.shrx_GyEyBy]) {
      for (let r = 0; r < 16; r++) {
        const e = new Emitter();
        e.vex(row, r % 2 === 0 ? 8 : 4, r, 15 - r, (r * 7) % 16);
        check(e, row);
      }
    }
  });
});

describe('the decoder, judged by iced-x86', () => {
  it('agrees on every instruction of the goldens', () => {
    let seen = 0;
    for (const mode of ['off', 'kcfi-norand', 'fineibt-rand', 'kcfi-norand-nobmi2', 'fineibt-norand-calldepth']) {
      const golden = JSON.parse(
        new TextDecoder().decode(file(`test/golden/linux-6.12/golden/${mode}/cc_cuberoot.json`)),
      );
      const images: string[] = [
        ...golden.programs.flatMap((program: { subprogs: { hex: string }[] }) =>
          program.subprogs.map(({ hex }) => hex),
        ),
        ...(golden.trampolines ?? []).map(({ hex }: { hex: string }) => hex),
      ];
      for (const hex of images) {
        const bytes = Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16));
        for (const { offset, bytes: own, text } of listX86(bytes, 0n)) {
          const judged = iced(bytes.subarray(offset));
          expect(own.length, text).toBe(judged.length);
          const mnemonic = text.replace(/^(lock|cs) /, '').split(' ')[0]!;
          expect(same(mnemonic, judged.mnemonic), `${text} against ${judged.text}`).toBe(true);
          seen++;
        }
      }
    }
    expect(seen).toBeGreaterThan(2000);
  });

  it.each([
    ['4190', 'xchg'],
    ['6698', 'cbw'],
    ['6699', 'cwd'],
    ['f30faee8', 'incsspd'],
    ['660faee8', 'invalid'],
  ])('%s shares an opcode with an instruction of ours, but is %s', (hex, mnemonic) => {
    const bytes = Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16));
    expect(iced(bytes).mnemonic).toBe(mnemonic);
    expect(decode(bytes, 0).row).toBeUndefined();
  });

  it('gives no row for what it does not know, and reads nothing outside', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.nat(20), (bytes, offset) => {
        const insn = decode(bytes, offset);
        expect(insn.length).toBeGreaterThan(0);
        if (insn.row !== undefined) expect(offset + insn.length).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000, seed: 6 },
    );
  });
});
