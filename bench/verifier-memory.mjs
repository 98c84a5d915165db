// Peak memory of a process that reads a kernel's BTF and verifies programs of compiled objects, one after the other:
//   npm run build && node bench/verifier-memory.mjs DIRECTORY_OF_GOLDENS OBJECT/PROGRAM...

import { readBtf } from '../dist/btf/index.js';
import { openObject, resolveObject } from '../dist/object/index.js';
import { kconfigOf } from '../dist/oracle/_target.js';
import { openOracle } from '../dist/oracle/directory.js';
import { mapInfos, verifierInput, verifyProgram } from '../dist/verifier/index.js';

const [path, ...names] = process.argv.slice(2);
if (path === undefined || names.length === 0) {
  console.error('usage: node bench/verifier-memory.mjs DIRECTORY_OF_GOLDENS OBJECT/PROGRAM...');
  process.exit(2);
}
const peak = () => (process.resourceUsage().maxRSS / 1024).toFixed(0);
const directory = openOracle(path);
const start = peak();
const target = {
  btf: readBtf(directory.btf),
  kconfig: kconfigOf(directory),
  symbol: () => 0xffffffff81000000n,
  release: '6.18',
};
const withBtf = peak();
let done = 0;
for (const name of names) {
  const [object, wanted] = name.split('/');
  try {
    const resolved = resolveObject(openObject(directory.object(object), name), target);
    const program = resolved.programs.find((candidate) => candidate.name === wanted);
    verifyProgram(verifierInput(resolved, program, mapInfos(resolved), 0));
    done++;
  } catch (error) {
    if (error.kind !== 'unsupported') throw error;
  }
}
console.log(
  `memory: peak RSS ${peak()} MB after ${done} of ${names.length} programs; ${withBtf} MB with the BTF, ${start} MB before it`,
);
