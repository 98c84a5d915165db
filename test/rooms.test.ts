import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './support.ts';

/** The stack: a room imports only rooms before it. */
const ROOMS = [
  'base',
  'elf',
  'btf',
  'bpf',
  'target',
  'object',
  'verifier',
  'x86',
  'jit',
  'machine',
  'kernel',
  'net',
  'subsystems',
  'splat',
  'conformance',
  'oracle',
  'cli',
];
const NODE_ROOMS = new Set(['oracle', 'cli']);
const MAX_LINES = 400;
const src = join(root, 'src');

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(join(src, file), 'utf8') }));
const roomOf = (file: string) => file.split('/')[0]!;
const importsOf = (text: string) =>
  [...text.matchAll(/(?:import|export)[^;'"]*?from '([^']+)'/g)].map((match) => match[1]!);

describe('rooms', () => {
  it('finds the sources', () => expect(files.length).toBeGreaterThan(80));

  it('imports go down the stack, through index.ts alone', () => {
    const wrong: string[] = [];
    for (const { file, text } of files) {
      const room = roomOf(file);
      if (!ROOMS.includes(room)) continue;
      for (const specifier of importsOf(text)) {
        if (!specifier.startsWith('.')) {
          if (!NODE_ROOMS.has(room)) wrong.push(`${file} imports ${specifier}`);
          continue;
        }
        const target = relative(src, normalize(join(src, dirname(file), specifier)));
        const other = roomOf(target);
        if (other === room) {
          const folder = dirname(target);
          if (target.split('/').at(-1)!.startsWith('_') && folder !== dirname(file))
            wrong.push(`${file} imports the private ${target}`);
          continue;
        }
        if (!target.endsWith('/index.ts') || target.split('/').length !== 2)
          wrong.push(`${file} reaches into ${target}`);
        if (ROOMS.indexOf(other) >= ROOMS.indexOf(room)) wrong.push(`${file} imports upwards: ${other}`);
        if (new Set([room, other]).size === 2 && [room, other].sort().join() === 'jit,machine')
          wrong.push(`${file}: jit and machine judge each other`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('every room opens with what it is, takes, gives, mirrors and leaves out', () => {
    for (const room of ROOMS.filter((name) => name !== 'cli' && name !== 'oracle')) {
      const lines = readFileSync(join(src, room, 'index.ts'), 'utf8').split('\n');
      expect(lines.length, room).toBeLessThanOrEqual(61);
      expect(
        lines.slice(0, 5).every((line) => line.startsWith('//')),
        `${room}/index.ts`,
      ).toBe(true);
      expect(lines[0], room).toMatch(new RegExp(`^// ${room}: `));
    }
  });

  it(`files of logic have fewer than ${MAX_LINES} lines`, () => {
    const long = files
      .filter(({ file, text }) => !file.endsWith('.table.ts') && text.split('\n').length > MAX_LINES)
      .map(({ file }) => file);
    expect(long).toEqual([]);
  });

  it('versions are compared in target alone', () => {
    const wrong = files
      .filter(({ file, text }) => roomOf(file) !== 'target' && /release\s*(===|!==|>=|<=|<|>)\s*'/.test(text))
      .map(({ file }) => file);
    expect(wrong).toEqual([]);
  });
});
