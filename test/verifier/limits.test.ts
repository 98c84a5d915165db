import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LogBuffer, MAX_LOG } from '../../src/verifier/core/log_buffer.ts';
import { mapInfos, verifierInput, verifyProgram } from '../../src/verifier/index.ts';
import { file, resolve, root } from '../support.ts';
import { arrayMap, program } from './programs.ts';

function verify(path: string, name: string) {
  const resolved = resolve(file(path), path, '6.18');
  const program = resolved.programs.find((candidate) => candidate.name === name)!;
  return verifyProgram(verifierInput(resolved, program, mapInfos(resolved), 1));
}

describe('limits', () => {
  it('a bitwise checksum of a long text leaves too many branches to walk', () => {
    const { ok, errno, log } = verify('test/objects/crc.bpf.o', 'long_text');
    expect(ok).toBe(false);
    expect(errno).toBe('E2BIG');
    expect(log).toMatch(/^The sequence of 8193 jumps is too complex\.$/m);
  });

  it('one of a short text is walked with both values of each bit', () => {
    const { ok, stats } = verify('test/objects/crc.bpf.o', 'short_text');
    expect(ok).toBe(true);
    expect(stats.insnProcessed).toBeGreaterThan(100);
  });

  const counted = (again: string) => `
    mov32 %r1, 0
    stxw [%r10-4], %r1
    again:
    ${again}
    ldxw %r1, [%r10-4]
    add32 %r1, 1
    stxw [%r10-4], %r1
    jge32 %r1, 3, out
    ja again
    out:
    mov %r0, 0
    exit`;

  it('a loop whose counter nobody knows is one without end', () => {
    const { errno, log } = verifyProgram({ ...program(counted('mov %r0, 0')), logLevel: 1 });
    expect(errno).toBe('EINVAL');
    expect(log).toContain('infinite loop detected at insn');
  });

  it('one that finds another value each time is too long instead', () => {
    const lookUp = `mov %r2, %r10
    add %r2, -4
    map %r1, 0
    call 1`;
    const { errno, log } = verifyProgram({ ...program(counted(lookUp), { maps: [arrayMap()] }), logLevel: 1 });
    expect(errno).toBe('E2BIG');
    expect(log).toMatch(/^The sequence of 8193 jumps is too complex\.$/m);
  });

  it('the bundled examples are accepted', () => {
    const loadable = readdirSync(`${root}examples`).filter((name) => /^(?!faulty).*\.bpf\.o$/.test(name));
    expect(loadable.length).toBeGreaterThan(4);
    for (const name of loadable) {
      const resolved = resolve(file(`examples/${name}`), name, '6.18');
      const maps = mapInfos(resolved);
      for (const program of resolved.programs) {
        const verdict = verifyProgram(verifierInput(resolved, program, maps, 1));
        expect(verdict.ok, `${name} ${program.name}: ${verdict.log}`).toBe(true);
      }
    }
  });
});

describe('the log', () => {
  it('goes back to where it was', () => {
    const log = new LogBuffer();
    for (let i = 0; i < 10_000; i++) log.add(`${i}\n`);
    const { length } = log;
    for (let i = 0; i < 10_000; i++) log.add('to be dropped\n');
    log.reset(length - 1);
    expect(log.length).toBe(length - 1);
    expect(log.toString()).toMatch(/^0\n1\n[\s\S]*\n9999$/);
  });

  it('keeps its end', () => {
    const log = new LogBuffer();
    const line = `${'x'.repeat(9_999)}\n`;
    for (let i = 0; i < 4_000; i++) log.add(line);
    log.add('the end');
    expect(log.length).toBe(40_000_007);
    const text = log.toString();
    expect(text.length).toBe(MAX_LOG);
    expect(text.endsWith('x\nthe end')).toBe(true);
    log.reset(5);
    log.add('!');
    expect(log.toString()).toBe('!');
    expect(log.length).toBe(6);
  });
});
