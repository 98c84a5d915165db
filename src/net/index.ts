// net: a link between two hosts, in simulated time.
// Takes: a description (`20mbit,40ms,100p,loss=0.1%,ecn=20p`), a seed, packets.
// Gives: packets at the other end, later, or not at all; the same for the same seed on every platform.
// Mirrors: tc's netem, pfifo, bfifo, codel, fq_codel and red as far as the description goes; mahimahi's rate traces.
// Leaves out: cross traffic, queues in front of the way back.
export { type AqmSpec, Red } from './aqm.ts';
export { Bottleneck, type WirePacket } from './bottleneck.ts';
export { Codel, type CodelParams, type CodelQueue, type Fate } from './codel.ts';
export { NetError } from './error.ts';
export { bufferInPackets, checkLink, type LinkSpec, linkMarks, type RateSchedule } from './link.ts';
export { formatLink, type LinkTextOptions, parseLink } from './link_text.ts';
export { paceOf, parseMahimahi } from './schedule.ts';
export { Simulator, type Timer } from './simulator.ts';
