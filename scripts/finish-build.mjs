// After the compiler: makes the commands executable.
import { chmodSync, existsSync } from 'node:fs';

for (const name of ['main', 'conformance_plugin']) {
  const command = new URL(`../dist/cli/${name}.js`, import.meta.url);
  if (existsSync(command)) chmodSync(command, 0o755);
}
