import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { openOracle } from '../../src/oracle/directory.ts';
import { CHECKERS } from '../../src/oracle/runner.ts';
import type { OracleDirectory } from '../../src/oracle/types.ts';
import { file, root } from '../support.ts';

type Json = Record<string, unknown>;
interface Leaf {
  path: (string | number)[];
  text: string;
}

const FLIPS = 150;
/** Behind the preamble stands the compiled body of the stub, which nobody claims to make. */
const PREAMBLE_DIGITS = 2 * 20;
const HEX = /^[0-9a-f]+$/;

/** Every text of a golden under a path in which `*` stands for any index. */
function* leaves(value: unknown, pattern: readonly string[], path: (string | number)[] = []): Generator<Leaf> {
  const [key, ...rest] = pattern;
  if (key === undefined) {
    if (typeof value === 'string' && value !== '') yield { path, text: value };
  } else if (key === '*') {
    for (const [i, element] of ((value as unknown[] | undefined) ?? []).entries())
      yield* leaves(element, rest, [...path, i]);
  } else yield* leaves((value as Json | undefined)?.[key], rest, [...path, key]);
}

/** A copy of the golden with another text at a place. */
function replaced(golden: Json, path: readonly (string | number)[], text: string): Json {
  const set = (value: unknown, [key, ...rest]: readonly (string | number)[]): unknown => {
    if (key === undefined) return text;
    if (Array.isArray(value)) return value.map((element, i) => (i === key ? set(element, rest) : element));
    return { ...(value as Json), [key]: set((value as Json)[key], rest) };
  };
  return set(golden, path) as Json;
}

/** One byte of hex, or one digit of other text, changed. */
function flipped(text: string, random: Random, end = text.length): string {
  const digits = [...text].flatMap((c, i) => (i < end && /[0-9a-f]/.test(c) ? [i] : []));
  const at = digits[random.below(digits.length)]!;
  const base = HEX.test(text) ? 16 : 10;
  const digit = Number.parseInt(text[at]!, base);
  const other = ((digit + 1 + random.below(base - 1)) % base).toString(base);
  return text.slice(0, at) + other + text.slice(at + 1);
}

function opened(path: string, btf?: string): OracleDirectory {
  const directory = openOracle(join(root, 'test/golden', path));
  if (btf !== undefined) Object.defineProperty(directory, 'btf', { value: file(btf) });
  return directory;
}

const ownerOf = (golden: Json, path: Leaf['path']) =>
  path.slice(0, -1).reduce((value: unknown, key) => (value as Json)[key], golden) as unknown as Json;

const failures = (kind: string, directory: OracleDirectory, mode: string, object: string) =>
  [...CHECKERS.find((checker) => checker.kind === kind)!.check(directory, mode, object)].filter(
    ({ status }) => status !== 'passed',
  );

const BTF = 'data/btf/vmlinux-6.12.btf';
const [LINUX_6_12, LINUX_6_18, VERIFIER, LINUX_6_18_CFI] = [
  opened('linux-6.12', BTF),
  opened('linux-6.18'),
  opened('linux-6.18-verifier', 'data/btf/vmlinux-6.18.btf'),
  opened('linux-6.18-cfi'),
];

const CASES: readonly [kind: string, OracleDirectory, mode: string, object: string, pattern: string][] = [
  ['images', LINUX_6_12, 'kcfi-norand', 'cc_renoish', 'programs.*.subprogs.*.hex'],
  ['images', LINUX_6_12, 'kcfi-norand', 'tail_mix', 'programs.*.subprogs.*.hexBeforeTailCallFixup'],
  ['images', LINUX_6_18_CFI, 'fineibt-paranoid-norand-its-hashfix', 'cc_renoish', 'programs.*.subprogs.*.hex'],
  ['text pokes', LINUX_6_12, 'kcfi-norand', 'tail_mix', 'programs.*.subprogs.*.pokes.*.tailcallTarget'],
  ['text pokes', LINUX_6_12, 'kcfi-norand', 'tail_mix', 'pokes.*.new'],
  ['trampolines', LINUX_6_12, 'kcfi-norand', 'tr_args', 'trampolines.*.hex'],
  ['trampolines', LINUX_6_18_CFI, 'fineibt-rand', 'cc_renoish', 'trampolines.*.hex'],
  ['stubs', LINUX_6_12, 'fineibt-rand', '_kernel', 'stubs.*.preambleHex'],
  ['stubs', LINUX_6_12, 'kcfi-norand', 'cc_renoish', 'stubs.*.hash'],
  ['stubs', LINUX_6_18_CFI, 'fineibt-paranoid-rand-hashfix', '_kernel', 'stubs.*.preambleHex'],
  ['call sites', LINUX_6_12, 'fineibt-rand', '_kernel', 'callSites.*.hex'],
  ['call sites', LINUX_6_12, 'kcfi-rand', '_kernel', 'callSites.*.compiledHex'],
  ['call sites', LINUX_6_18_CFI, 'fineibt-paranoid-rand-hashfix', '_kernel', 'callSites.*.hex'],
  ['relocated insns', LINUX_6_18, '-', 'so05_maps', 'programs.*.insnsHex'],
  ['rewritten insns', VERIFIER, '-', 'p05_bswap_v4', 'programs.*.kprogs.*.insnsiHex'],
];

describe('one changed byte of a golden', () => {
  it.each(CASES)('%s', (kind, directory, mode, object, pattern) => {
    const golden = directory.golden(mode, object) as Json;
    // What a function repeats of another's sites is compared there.
    const foreign = ({ path }: Leaf) =>
      path.at(-3) === 'pokes' && path.length > 3 && ownerOf(golden, path)['own'] === '0';
    const places = [...leaves(golden, pattern.split('.'))].filter((leaf) => !foreign(leaf));
    expect(places.length, pattern).toBeGreaterThan(0);
    const random = new Random(17);
    const unnoticed: string[] = [];
    for (let i = 0; i < FLIPS; i++) {
      const { path, text } = places[random.below(places.length)]!;
      const prefix = text.startsWith('0x') ? 2 : 0;
      const end = path.at(-1) === 'preambleHex' ? PREAMBLE_DIGITS : text.length;
      const changed = text.slice(0, prefix) + flipped(text.slice(prefix), random, end);
      const mutant = Object.create(directory, { golden: { value: () => replaced(golden, path, changed) } });
      const found = failures(kind, mutant, mode, object);
      if (found.length === 0) unnoticed.push(`${path.join('.')}: ${text} → ${changed}`);
    }
    expect(unnoticed.slice(0, 8)).toEqual([]);
  });

  it('type ids', () => {
    const text = new TextDecoder().decode(file('test/golden/kcfi-typeids.json'));
    const golden = JSON.parse(text) as { header: string; types: Json[] };
    const random = new Random(17);
    for (let i = 0; i < FLIPS; i++) {
      const type = golden.types[random.below(golden.types.length)]!;
      const field = ['hash', 'hashNormalized'][random.below(2)]!;
      const hash = type[field] as string;
      const changed = { ...golden, types: [{ ...type, [field]: `0x${flipped(hash.slice(2), random)}` }] };
      const mutant = Object.create(LINUX_6_12, {
        file: { value: () => new TextEncoder().encode(JSON.stringify(changed)) },
      });
      expect(failures('type ids', mutant, '-', '-'), `${type['prototype']} ${field} of ${hash}`).toHaveLength(1);
    }
  });

  it.each(['tail_mix', 'throwing', 'dummy_basic'])('runs of %s', (object) => {
    const mode = 'kcfi-norand';
    const golden = LINUX_6_12.golden(mode, object) as { runs: string[] };
    const random = new Random(17);
    golden.runs.forEach((line, i) => {
      // What a program returned, or its data; what the recorder prints without a state is its own.
      const value = /^GLOBALS \S+ /.exec(line)?.[0].length ?? line.indexOf('retval=') + 'retval='.length;
      const end = line.includes(' state=') ? line.indexOf(' state=') : line.length;
      const runs = golden.runs.with(
        i,
        line.slice(0, value) + flipped(line.slice(value, end), random) + line.slice(end),
      );
      const mutant = Object.create(LINUX_6_12, { golden: { value: () => ({ ...golden, runs }) } });
      expect(failures('runs', mutant, mode, object), runs[i]).not.toEqual([]);
    });
  });
});
