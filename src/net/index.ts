// net: a link between two hosts, in simulated time.
// Takes: a description (`20mbit,40ms,100p,loss=0.1%,ecn=20p`), a seed, packets.
// Gives: packets at the other end, later, or not at all; the same for the same seed on every platform.
// Mirrors: tc's netem, pfifo, codel and red as far as the description goes.
// Leaves out: queues for each flow (fq_codel), rate schedules, cross traffic.
export { type AqmSpec, Codel, Red } from './aqm.ts';
export { Bottleneck, type WirePacket } from './bottleneck.ts';
export { NetError } from './error.ts';
export { formatLink, type LinkSpec, linkMarks, parseLink, type RateSchedule } from './link.ts';
export { Simulator, type Timer } from './simulator.ts';
