import { hex32, TrampetError, toHex } from '../base/index.ts';
import { type JitContext, type JitImage, POKE_SIZE, pokeBytes, tailCallChanges } from '../jit/index.ts';
import { compareCode } from './_compare.ts';
import { contextOf, type Golden, type GoldenSubprogram, low, readGolden, releaseOf } from './_golden.ts';
import { compileRecorded } from './check_images.ts';
import type { Checker, Outcome } from './types.ts';

/**
 * What becomes of an image after the JIT: the sites of direct tail calls, the pokes that fill and empty their slots in the
 * kernel's order, and the bytes with slots filled and with a trampoline attached.
 */
export const checkPokes: Checker = {
  kind: 'text pokes',
  *check(directory, mode, object) {
    const golden = readGolden(directory, mode, object);
    if (golden?.kernelSymbols === undefined) return;
    const release = releaseOf(golden);
    for (const program of golden.programs ?? []) {
      for (const part of program.subprogs ?? []) {
        if (ownSites(part).length === 0 && part.hexFinal === undefined) continue;
        const { name } = part;
        if (release === undefined) {
          yield { name, status: 'unsupported', why: `kernel ${golden.version} is not known` };
          continue;
        }
        const ctx = contextOf(golden, release, directory);
        try {
          yield* comparePart(golden, part, compileRecorded(part, program.type, object, ctx), ctx);
        } catch (error) {
          if (!(error instanceof TrampetError)) throw error;
          yield error.kind === 'unsupported'
            ? { name, status: 'unsupported', why: error.message }
            : { name, status: 'failed', at: '-', want: 'an image', got: error.message };
        }
      }
    }
  },
};

const ENDBR_SIZE = 4;
const ownSites = (part: GoldenSubprogram) => (part.pokes ?? []).filter(({ own }) => own === '1');
const address = (text: string): number => low(`0x${text}`);

function* comparePart(golden: Golden, part: GoldenSubprogram, image: JitImage, ctx: JitContext): Generator<Outcome> {
  const log = golden.pokes ?? [];
  const bytes = image.bytes.slice();
  for (const [i, site] of ownSites(part).entries()) {
    const poke = image.pokes[i];
    const name = `${part.name} slot ${site.key}`;
    if (poke === undefined) {
      yield { name, status: 'failed', at: 'site', want: site.tailcallTarget, got: 'no direct tail call' };
      continue;
    }
    const ips = [image.address + poke.target, image.address + poke.bypass].map((ip) => ip >>> 0);
    const logged = log.filter(({ ip }) => ips.includes(address(ip)));
    const filled = address(logged.find((entry) => address(entry.new) !== 0)?.new ?? '0');
    const callee = filled === 0 ? 0 : entryBefore(golden, filled);
    const skip = Number(site.adjOff);
    const [filling, emptying] = [
      tailCallChanges(image, poke, ctx, 0, callee),
      tailCallChanges(image, poke, ctx, callee, 0),
    ];
    const want = [
      ...[site.tailcallTarget, site.tailcallBypass, site.bypassAddr],
      `+${skip}`,
      ...logged.map(({ ip, new: to }) => `${ip}→${to}`),
    ].join(' ');
    // A recording may end before the slot is emptied.
    const changes = [...filling, ...emptying].slice(0, Math.max(filling.length, logged.length));
    const got = [
      ...[...ips, (ips[0]! + POKE_SIZE) >>> 0].map(textOf),
      `+${callee === 0 ? skip : (filling[0]!.to.target - callee) >>> 0}`,
      ...changes.map(({ ip, to }) => `${textOf(ip)}→${textOf(to.target)}`),
    ].join(' ');
    yield got === want ? { name, status: 'passed' } : { name, status: 'failed', at: 'pokes', want, got };
    for (const { ip, to } of filling) bytes.set(pokeBytes(to, ip), ip - image.address);
  }
  if (part.hexBeforeTailCallFixup !== undefined)
    yield compareCode(`${part.name} with its slots filled`, bytes, part.hex, BigInt(part.image));
  if (part.hexFinal === undefined) return;
  const offset = part.entryOffset + (ctx.features.ibt ? ENDBR_SIZE : 0);
  const ip = (low(part.image) + offset) >>> 0;
  const targets = log.flatMap((entry) => (address(entry.ip) === ip ? [address(entry.new)] : []));
  // A tracing trampoline is called, a program that replaces this one is jumped to.
  const entries = entriesOf(golden);
  const branches = targets.map((target) => pokeBytes({ kind: entries.includes(target) ? 'jump' : 'call', target }, ip));
  // Which of the pokes had been made when the image was read is not recorded: one of them.
  const recorded = part.hexFinal.slice(2 * offset, 2 * (offset + POKE_SIZE));
  const branch = branches.find((candidate) => toHex(candidate) === recorded) ?? branches.at(-1);
  if (branch !== undefined) bytes.set(branch, offset);
  yield compareCode(`${part.name} in the end`, bytes, part.hexFinal, BigInt(part.image));
}

/** A text address, or none, as the log has it. */
const textOf = (pointer: number): string => `${pointer === 0 ? '00000000' : 'ffffffff'}${hex32(pointer).slice(2)}`;

const entriesOf = (golden: Golden): number[] =>
  (golden.programs ?? []).flatMap(({ subprogs }) => subprogs.map((part) => (low(part.image) + part.entryOffset) >>> 0));

/** The program whose code a tail call enters at `target`: the last entry at or before it. */
const entryBefore = (golden: Golden, target: number): number =>
  Math.max(0, ...entriesOf(golden).filter((entry) => entry <= target));
