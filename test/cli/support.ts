import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../support.ts';

/** Runs the built command line in the repository's root, without colours. */
export const trampet = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args], {
    encoding: 'utf8',
    cwd: root,
    env: { ...process.env, NO_COLOR: '1' },
  });
