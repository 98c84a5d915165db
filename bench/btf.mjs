// Time to open a BTF and find a struct in it: npm run build && node bench/btf.mjs [FILE]
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { readBtf } from '../dist/btf/index.js';

const path = process.argv[2] ?? new URL('../data/btf/vmlinux-6.12.btf', import.meta.url);
const file = readFileSync(path);
const bytes = file[0] === 0x1f ? gunzipSync(file) : file;
for (const turn of ['cold', 'warm']) {
  const start = performance.now();
  const btf = readBtf(bytes);
  const opened = performance.now();
  btf.member('tcp_sock', 'snd_cwnd');
  console.log(
    `${turn}: ${btf.typeCount} types opened in ${(opened - start).toFixed(1)} ms, first look-up ${(performance.now() - opened).toFixed(1)} ms`,
  );
}
