import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Btf, readBtf } from '../src/btf/index.ts';
import {
  bootKernel,
  type Kernel,
  type LoadedObject,
  type LoadedProgram,
  loadObject,
  StructOpsMap,
} from '../src/kernel/index.ts';
import { openObject, type ResolvedObject, resolveObject } from '../src/object/index.ts';
import { dummySubsystem, tcpSubsystem } from '../src/subsystems/index.ts';
import { type CfiMode, type Features, KCONFIG, makeTarget } from '../src/target/index.ts';

export const root = fileURLToPath(new URL('..', import.meta.url));
/** A copy of its own: `slice` of a Node buffer would share memory. */
export const file = (path: string): Uint8Array => new Uint8Array(readFileSync(root + path));

const bundled = new Map<string, Btf>();
/** A BTF that comes with the package; 6.12's stands in for 6.8's. */
export function btf(kernel = '6.12'): Btf {
  const release = kernel.startsWith('6.18') ? '6.18' : '6.12';
  let known = bundled.get(release);
  if (known === undefined) {
    known = readBtf(file(`data/btf/vmlinux-${release}.btf`));
    bundled.set(release, known);
  }
  return known;
}

export const example = (name: string): Uint8Array => file(`examples/${name}.bpf.o`);
export const resolve = (bytes: Uint8Array, name = 'object', kernel = '6.12'): ResolvedObject =>
  resolveObject(openObject(bytes, `${name}.bpf.o`), { btf: btf(kernel), release: kernel, kconfig: KCONFIG });

export const MODES: readonly [CfiMode, number][] = [
  ['off', 0],
  ['kcfi', 0],
  ['fineibt', 0],
  ['kcfi', 0x1234567],
  ['fineibt', 0x9abcdef1],
];

export function boot(cfi: CfiMode, hashSeed = 0, features: Partial<Features> = {}, release = '6.12'): Kernel {
  return bootKernel({
    target: makeTarget({ release, cfi, btf: btf(release), hashSeed, features }),
    subsystems: [dummySubsystem, tcpSubsystem],
  });
}

export interface Session {
  kernel: Kernel;
  loaded: LoadedObject;
  programs: Map<string, LoadedProgram>;
  maps: StructOpsMap[];
}

/** Boots, loads an object and registers its tables. */
export function session(
  bytes: Uint8Array,
  cfi: CfiMode,
  hashSeed = 0,
  features: Partial<Features> = {},
  release = '6.12',
): Session {
  const kernel = boot(cfi, hashSeed, features, release);
  const loaded = loadObject(kernel, resolve(bytes, 'object', release));
  const programs = new Map(loaded.programs.map((program) => [program.name, program]));
  const maps = loaded.resolved.structOps
    .filter(({ type }) => type === 'tcp_congestion_ops')
    .map((table) => {
      const map = new StructOpsMap(kernel, table);
      map.update(table, programs);
      return map;
    });
  return { kernel, loaded, programs, maps };
}
