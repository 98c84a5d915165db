import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/index.ts';
import { file, root } from '../support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-jit-'));
const object = join(root, 'test/golden/linux-6.12/obj/cc_renoish.bpf.o');
const trampet = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'jit', ...args], {
    encoding: 'utf8',
    cwd: root,
    env: { ...process.env, NO_COLOR: '1' },
  });

/** What the running kernel had of a program, from bpf_func on. */
function kernelBytes(mode: string, name: string): Uint8Array {
  const golden = JSON.parse(new TextDecoder().decode(file(`test/golden/linux-6.12/golden/${mode}/cc_renoish.json`)));
  const { hex } = golden.programs.find((program: { name: string }) => program.name === name).subprogs[0];
  return fromHex(hex).subarray(mode.startsWith('off') ? 0 : 16);
}
const dump = (name: string, content: Uint8Array | string) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

describe('jit --compare', () => {
  it.each([
    ['kcfi-norand', 'kcfi'],
    ['fineibt-norand', 'fineibt'],
    ['off', 'off'],
  ])('%s: from the object to what the kernel had', (mode, cfi) => {
    for (const name of ['rn_ssthresh', 'rn_cong_avoid', 'rn_undo_cwnd']) {
      const path = dump(`${mode}-${name}.bin`, kernelBytes(mode, name));
      // The recording kernels used retpolines; these programs have no indirect branch.
      const { status, stdout } = trampet(object, name, '--cfi', cfi, '--compare', path);
      expect(stdout).toMatch(new RegExp(`same +${name}`));
      expect(status).toBe(0);
    }
  });

  it('one changed byte is shown in assembly', () => {
    const bytes = kernelBytes('kcfi-norand', 'rn_ssthresh');
    bytes[bytes.length - 1]! ^= 1;
    const { status, stdout } = trampet(object, 'rn_ssthresh', '--cfi', 'kcfi', '--compare', dump('flipped.bin', bytes));
    expect(status).toBe(1);
    expect(stdout).toMatch(/- +\+\w+ +c2/);
    expect(stdout).toMatch(/\+ +\+\w+ +c3 +ret/);
  });

  it('reads the JSON of bpftool', () => {
    const opcodes = [...kernelBytes('kcfi-norand', 'rn_ssthresh')].map((byte) => `0x${byte.toString(16)}`);
    const document = [{ name: 'bpf_prog_x', insns: [{ pc: '0x0', operation: 'nop', operands: [], opcodes }] }];
    const path = dump('dump.json', JSON.stringify(document));
    expect(trampet(object, 'rn_ssthresh', '--cfi', 'kcfi', '--compare', path).status).toBe(0);
  });

  it.each([
    ['no.json', '[{"name":"x","insns":[{"pc":"0x0"}]}]', 'has no opcodes'],
    ['half.json', '[{"name":', 'begins like JSON'],
    ['none.json', '[{"name":"x"}]', 'no list of instructions'],
    ['big.json', '[{"name":"x","insns":[{"opcodes":["0x1ff"]}]}]', 'is no byte'],
    ['many.json', '[{"insns":[]},{"insns":[]}]', 'the dump has 2 functions'],
  ])('refuses %s', (name, content, why) => {
    const { status, stderr } = trampet(object, 'rn_ssthresh', '--compare', dump(name, content));
    expect(stderr).toContain(why);
    expect([1, 3]).toContain(status);
  });
});

describe('jit --diff', () => {
  it('another CFI mode changes the preamble alone', () => {
    const { stdout } = trampet(object, 'rn_ssthresh', '--cfi', 'kcfi', '--diff', 'off');
    expect(stdout).toContain('mov eax, 0xd9421881');
    expect(stdout).not.toContain('push');
  });

  it('another kernel', () => {
    const { stdout } = trampet(object, 'rn_ssthresh', '--diff', '6.18');
    expect(stdout).toContain('sub eax, 0xd9421881');
    expect(stdout).toContain('sub r10d, 0xd9421881');
  });
});
