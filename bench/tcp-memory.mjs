// Heap over an hour of simulated time with a BPF CUBIC: npm run build && node --expose-gc bench/tcp-memory.mjs [MINUTES]
import { readFileSync } from 'node:fs';
import { readBtf } from '../dist/btf/index.js';
import { bootKernel, loadObject, StructOpsMap } from '../dist/kernel/index.js';
import { parseLink } from '../dist/net/index.js';
import { openObject, resolveObject } from '../dist/object/index.js';
import { congestionControls, runFlows, tcpSubsystem } from '../dist/subsystems/index.js';
import { makeTarget } from '../dist/target/index.js';

const file = (name) => new Uint8Array(readFileSync(new URL(`../${name}`, import.meta.url)));
const minutes = Number(process.argv[2] ?? 60);
const target = makeTarget({ release: '6.12', cfi: 'fineibt', btf: readBtf(file('data/btf/vmlinux-6.12.btf')) });
const kernel = bootKernel({ target, subsystems: [tcpSubsystem] });
const loaded = loadObject(kernel, resolveObject(openObject(file('examples/cubic.bpf.o'), 'cubic'), target));
const programs = new Map(loaded.programs.map((program) => [program.name, program]));
for (const table of loaded.resolved.structOps) new StructOpsMap(kernel, table).update(table, programs);
const congestion = congestionControls(kernel)[0];
/** Minutes that were told of. */
const told = new Set();
const heapMiB = () => {
  globalThis.gc?.();
  return (process.memoryUsage().heapUsed / 2 ** 20).toFixed(1);
};
runFlows(
  kernel,
  {
    link: parseLink('10mbit,40ms,60p,loss=0.01%'),
    flows: [
      { name: 'bulk', congestion, source: { kind: 'bulk' }, startNs: 0 },
      { name: 'limited', congestion, source: { kind: 'limited', rateBps: 1e6 }, startNs: 0 },
    ],
    seconds: minutes * 60,
    seed: 1,
    samples: 60,
  },
  {
    onSample: (flow, _sample, share) => {
      const minute = Math.round(share * minutes);
      if (flow !== 'bulk' || told.has(minute) || ![1, 10, 30, minutes].includes(minute)) return;
      told.add(minute);
      console.log(`${minute} min: heap ${heapMiB()} MiB`);
    },
  },
);
