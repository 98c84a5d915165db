// Rebuilds examples/*.bpf.o from their sources: npm run examples. Needs clang (CLANG=… names another one) and, to drop
// debugging information other than BTF, llvm-strip.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const examples = fileURLToPath(new URL('../examples/', import.meta.url));
const versions = ['', '-21', '-20', '-19', '-18', '-17', '-16', '-15', '-14'];
const find = (wanted, name) =>
  [wanted, ...versions.map((version) => name + version)]
    .filter(Boolean)
    .find((tool) => spawnSync(tool, ['--version']).status === 0);

const clang = find(process.env.CLANG, 'clang');
const strip = find(process.env.LLVM_STRIP, 'llvm-strip');
if (clang === undefined || strip === undefined) {
  console.error('npm run examples needs clang and llvm-strip (14 or newer); set CLANG and LLVM_STRIP to name them');
  process.exit(1);
}
for (const source of readdirSync(examples).filter((file) => file.endsWith('.bpf.c'))) {
  const object = source.replace(/c$/, 'o');
  const flags = [
    '-O2',
    '-g',
    '-Wall',
    '-target',
    'bpf',
    '-mcpu=v3',
    `-ffile-prefix-map=${examples}=`,
    '-fdebug-compilation-dir=.',
    '-c',
    source,
    '-o',
    object,
  ];
  for (const [tool, args] of [
    [clang, flags],
    [strip, ['-g', object]],
  ]) {
    const { status, stderr } = spawnSync(tool, args, { cwd: examples, encoding: 'utf8' });
    if (stderr) process.stderr.write(stderr);
    if (status !== 0) process.exit(1);
  }
  console.log(object);
}
