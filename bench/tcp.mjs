// Simulated packets and guest instructions a second with a BPF CUBIC called through the machine: npm run build && node bench/tcp.mjs [SECONDS]
import { readFileSync } from 'node:fs';
import { readBtf } from '../dist/btf/index.js';
import { bootKernel, loadObject, StructOpsMap } from '../dist/kernel/index.js';
import { parseLink } from '../dist/net/index.js';
import { openObject, resolveObject } from '../dist/object/index.js';
import { congestionControls, runFlow, tcpSubsystem } from '../dist/subsystems/index.js';
import { makeTarget } from '../dist/target/index.js';

const file = (name) => new Uint8Array(readFileSync(new URL(`../${name}`, import.meta.url)));
const seconds = Number(process.argv[2] ?? 60);
const target = makeTarget({ release: '6.12', cfi: 'fineibt', btf: readBtf(file('data/btf/vmlinux-6.12.btf')) });
const kernel = bootKernel({ target, subsystems: [tcpSubsystem] });
const loaded = loadObject(kernel, resolveObject(openObject(file('examples/cubic.bpf.o'), 'cubic'), target));
const programs = new Map(loaded.programs.map((program) => [program.name, program]));
for (const table of loaded.resolved.structOps) new StructOpsMap(kernel, table).update(table, programs);
const start = performance.now();
const { flow } = runFlow(kernel, {
  congestion: congestionControls(kernel)[0],
  link: parseLink('100mbit,20ms,200p'),
  seconds,
  seed: 1,
});
const took = (performance.now() - start) / 1000;
const packets = flow.segments + flow.retransmits;
console.log(`${packets} packets in ${took.toFixed(1)} s: ${Math.round(packets / took)} a second`);
console.log(`${(kernel.machine.instructions / took / 1e6).toFixed(1)} million guest instructions a second`);
console.log(`memory ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB for ${seconds} simulated seconds`);
