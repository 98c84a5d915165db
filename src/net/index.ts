// net: a link between two hosts, in simulated time.
// Takes: a description (`20mbit,40ms,100p,loss=0.1%,ecn=20p`), a seed, packets.
// Gives: packets at the other end, later, or not at all; the same for the same seed on every platform.
// Mirrors: tc's netem and pfifo as far as the description goes.
// Leaves out: reordering, jitter, AQM other than a marking threshold, cross traffic.
export { NetError } from './error.ts';
export { Bottleneck, formatLink, type LinkSpec, parseLink, type WirePacket } from './link.ts';
export { Simulator, type Timer } from './simulator.ts';
