import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './support.ts';

const run = (command: string, args: string[], cwd: string) =>
  spawnSync(command, args, { cwd, encoding: 'utf8', shell: process.platform === 'win32' });

describe('the package', () => {
  it('packs, installs in an empty folder, and runs', () => {
    const folder = mkdtempSync(join(tmpdir(), 'trampet-package-'));
    const packed = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root);
    expect(packed.status, packed.stderr).toBe(0);
    const [{ filename, size, unpackedSize }] = JSON.parse(packed.stdout) as [
      { filename: string; size: number; unpackedSize: number },
    ];
    console.log(`${filename}: ${size} bytes, ${unpackedSize} unpacked`);
    const installed = run(
      'npm',
      ['install', '--prefer-offline', '--no-audit', '--no-fund', '--prefix', folder, join(folder, filename)],
      folder,
    );
    expect(installed.status, installed.stderr).toBe(0);
    const help = run('npx', ['--offline', 'trampet', '--help'], folder);
    expect(help.stdout).toContain('trampet run cubic.bpf.o --all-cfi');
    const demo = run(
      'npx',
      ['--offline', 'trampet', 'run', 'node_modules/trampet/examples/reno.bpf.o', '--for', '1s'],
      folder,
    );
    expect(demo.stdout).toContain('0 CFI faults');
    const library = run(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        "import { kcfiTypeId } from 'trampet'; import { readBtf } from 'trampet/btf'; console.log(typeof readBtf, kcfiTypeId('_ZTSFvvE'))",
      ],
      folder,
    );
    expect(library.stdout.trim()).toBe('function 2772461324');
  });

  it('holds no absolute path', () => {
    const dist = join(root, 'dist');
    for (const file of readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js')))
      expect(readFileSync(join(dist, file), 'utf8').includes(root), file).toBe(false);
  });

  it('README names the two commands that the package has', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    expect(readme).toContain('npm ci && npm run demo');
    expect(readme).toContain('npm ci && npm test');
  });
});
