import { toHex } from '../base/index.ts';
import { bootPreamble, compiledPreamble } from '../kernel/index.ts';
import { CFI_HASHES, ERAS, seedHash } from '../target/index.ts';
import { compareCode } from './_compare.ts';
import { featuresOf, type Golden, low, releaseOf } from './_golden.ts';
import type { Checker } from './types.ts';

/** The seed of a golden's kernel: what its program hash was mixed with. */
export function seedOf(golden: Golden): number {
  const hash = golden.features['cfiBpfHash'];
  return typeof hash === 'string' ? (low(hash) ^ CFI_HASHES.program) >>> 0 : 0;
}

/** Preambles of the ops' stub functions: the compiler's, from the type hash, rewritten as boot does; and the hash in them. */
export const checkStubs: Checker = {
  kind: 'stubs',
  *check(directory, mode, object) {
    const golden = directory.golden(mode, object) as Golden | undefined;
    if (golden?.stubs === undefined) return;
    const release = releaseOf(golden);
    const build = featuresOf(golden);
    const seed = seedOf(golden);
    for (const stub of golden.stubs) {
      const name = stub.symbol;
      if (release === undefined) {
        yield { name, status: 'unsupported', why: `kernel ${golden.version} is not known` };
        continue;
      }
      // The function behind test_run has no member, hence no prototype in the golden.
      const hash = typeof stub.typeHash === 'string' ? low(stub.typeHash) : CFI_HASHES.dummyTest;
      const prefix = 5 + build.callPadding;
      const booted = bootPreamble(compiledPreamble(hash, build, 0), build, ERAS[release], seed);
      const want = stub.preambleHex.slice(2 * (16 - prefix), 2 * (16 - prefix + booted.length));
      // What the kernel makes of it: the hash itself in `_kernel`, elsewhere what cfi_get_func_hash read for a trampoline.
      const readAt = object === '_kernel' ? undefined : (golden.features['stubHashReadOffset'] as number | undefined);
      const wantHash =
        build.cfi === 'off'
          ? undefined
          : readAt === undefined
            ? seedHash(hash, seed, ERAS[release])
            : new DataView(booted.buffer).getUint32(readAt, true);
      if (wantHash !== undefined && low(stub.hash ?? undefined) !== wantHash)
        yield { name, status: 'failed', at: 'hash', want: String(stub.hash), got: `0x${wantHash.toString(16)}` };
      else
        yield toHex(booted) === want
          ? { name, status: 'passed' }
          : compareCode(name, booted, want, BigInt(stub.addr) - BigInt(prefix));
    }
  },
};
