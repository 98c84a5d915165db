import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrampetError } from '../../src/base/index.ts';
import { readElf } from '../../src/elf/index.ts';
import { example } from '../support.ts';

const object = example('reno');
const changed = (at: number, ...bytes: number[]) => {
  const copy = object.slice();
  copy.set(bytes, at);
  return copy;
};
const headers = () => new DataView(object.buffer, object.byteOffset).getUint32(40, true);

describe('ELF', () => {
  it('reads sections, symbols and relocations', () => {
    const elf = readElf(object);
    expect(elf.machine).toBe(247);
    const code = elf.sections.find(({ name }) => name === 'struct_ops')!;
    expect(elf.relocations(code).map(({ symbol }) => elf.symbols[symbol]!.name)).toEqual([
      'tcp_reno_ssthresh',
      'tcp_reno_cong_avoid',
      'tcp_reno_undo_cwnd',
    ]);
  });

  it.each([
    ['an empty file', new Uint8Array(0), 'not an ELF file'],
    ['text', new TextEncoder().encode('#!/bin/sh'), 'not an ELF file'],
    ['32 bits', changed(4, 1), 'ELF class 1 is not supported'],
    ['big-endian', changed(5, 2), 'ELF data encoding 2 is not supported'],
    ['section headers past the end', changed(40, 0xff, 0xff, 0xff), 'past the end'],
    ['a section past the end', changed(headers() + 2 * 64 + 24, 0xff, 0xff, 0xff), 'past the end'],
  ])('refuses %s', (_, bytes, why) => {
    expect(() => readElf(bytes)).toThrow(why);
  });

  it('refuses overlapping sections', () => {
    const elf = readElf(object);
    const [first, second] = elf.sections.filter(({ data }) => data.length > 16);
    const copy = object.slice();
    new DataView(copy.buffer).setUint32(headers() + second!.index * 64 + 24, first!.offset, true);
    expect(() => readElf(copy)).toThrow('overlap');
  });

  it('refuses a relocation to nowhere', () => {
    const section = readElf(object).sections.find(({ name }) => name === '.relstruct_ops')!;
    const target = readElf(object).sections.find(({ name }) => name === 'struct_ops')!;
    expect(() => {
      const elf = readElf(changed(section.offset, 0xf0, 0xff));
      elf.relocations(elf.sections[target.index]!);
    }).toThrow("past the end of 'struct_ops'");
  });

  it('raises nothing foreign, cut anywhere or changed at random', () => {
    const tryRead = (bytes: Uint8Array) => {
      try {
        const elf = readElf(bytes);
        for (const section of elf.sections) elf.relocations(section);
      } catch (error) {
        if (!(error instanceof TrampetError)) throw error;
      }
    };
    for (let length = 0; length < object.length; length += 7) tryRead(object.subarray(0, length));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(object.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (edits) => {
          const copy = object.slice();
          for (const [at, value] of edits) copy[at] = value;
          tryRead(copy);
        },
      ),
      { numRuns: 500, seed: 2 },
    );
  });
});
