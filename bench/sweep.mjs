// How busy a sweep of many short runs keeps its threads: npm run build && node bench/sweep.mjs [RUNS] [THREADS]
// A thread is busy while it has a run; what is left is waiting for work, or starting.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { Tinypool } from 'tinypool';
import { work as run } from '../dist/cli/_sweep_worker.js';

/** One run, and how long the thread had it. */
export function work(task) {
  const start = performance.now();
  const answer = run(task);
  return { answer, ms: performance.now() - start };
}

if (isMainThread) {
  const runs = Number(process.argv[2] ?? 1000);
  const threads = Number(process.argv[3] ?? availableParallelism());
  const path = fileURLToPath(new URL('../examples/cubic.bpf.o', import.meta.url));
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 32);
  const values = { kernel: '6.18+hashfix', cfi: 'fineibt', mitigations: '', 'hash-seed': '0', seed: '1' };
  const start = performance.now();
  const cpu = process.cpuUsage();
  const pool = new Tinypool({ filename: import.meta.url, minThreads: threads, maxThreads: threads });
  const done = await Promise.all(
    Array.from({ length: runs }, (_, seed) =>
      pool.run({ run: { path, sha256, link: '20mbit,40ms', seed }, values, seconds: 1 }, { name: 'work' }),
    ),
  );
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await pool.destroy();
  const busy = done.reduce((sum, { ms }) => sum + ms, 0);
  console.log(
    `${runs} runs on ${threads} threads in ${(wall / 1000).toFixed(1)} s: ${((runs / wall) * 1000).toFixed(0)} a second`,
  );
  console.log(`threads busy ${((100 * busy) / wall / threads).toFixed(1)} % of the time`);
  console.log(
    `processor time ${((user + system) / 1000 / wall).toFixed(2)} of ${threads} (other programs take their share)`,
  );
}
