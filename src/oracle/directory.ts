import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { OracleError } from './error.ts';
import type { OracleDirectory } from './types.ts';

/** Reads a file, unpacking gzip by its magic. */
export function readMaybeGzip(path: string): Uint8Array {
  const bytes = readFileSync(path);
  return new Uint8Array(bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
}

/** The BTF beside the goldens: `btf/*.btf[.gz]`, or `*.btf[.gz]` at the top. */
function findBtf(path: string): string {
  for (const folder of [join(path, 'btf'), path]) {
    if (!existsSync(folder)) continue;
    const name = readdirSync(folder).find((file) => /\.btf(\.gz)?$/.test(file));
    if (name !== undefined) return join(folder, name);
  }
  throw new OracleError('no *.btf or *.btf.gz here or in btf/', path);
}

/**
 * Opens a directory with `obj/*.bpf.o` and `golden/[MODE/]OBJECT.json`.
 * @throws OracleError where something is missing; goldens are read when they are asked for.
 */
export function openOracle(path: string): OracleDirectory {
  const golden = join(path, 'golden');
  if (!existsSync(golden) || !statSync(golden).isDirectory())
    throw new OracleError("no folder 'golden' in this directory", path);
  const entries = readdirSync(golden, { withFileTypes: true });
  const modes = entries
    .filter(
      (entry) => entry.isDirectory() && readdirSync(join(golden, entry.name)).some((file) => file.endsWith('.json')),
    )
    .map((entry) => entry.name)
    .sort();
  const flat = entries.some((entry) => entry.isFile() && entry.name.endsWith('.json'));
  const folders = flat ? ['-'] : modes;
  if (folders.length === 0) throw new OracleError('no goldens (*.json)', golden);
  const folderOf = (mode: string) => (mode === '-' ? golden : join(golden, mode));
  const objects = new Set<string>();
  for (const mode of folders) {
    for (const file of readdirSync(folderOf(mode))) if (/\.json$/.test(file)) objects.add(file.replace(/\.json$/, ''));
  }
  let btf: Uint8Array | undefined;
  return {
    path,
    get btf() {
      btf ??= readMaybeGzip(findBtf(path));
      return btf;
    },
    modes: folders,
    objects: [...objects].sort(),
    object: (name) => readMaybeGzip(join(path, 'obj', `${name}.bpf.o`)),
    golden: (mode, name) => {
      const file = join(folderOf(mode), `${name}.json`);
      return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
    },
    vmlinux: () => {
      const name = readdirSync(path).find((file) => file.startsWith('vmlinux') && !file.includes('.btf'));
      return name === undefined ? undefined : readMaybeGzip(join(path, name));
    },
    file: (name) => (existsSync(join(path, name)) ? readMaybeGzip(join(path, name)) : undefined),
  };
}
