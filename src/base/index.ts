// base: what every room shares.
// Takes: numbers, bytes, seeds.
// Gives: the error base class, errno names, hex, the seeded generator.
// Mirrors: include/uapi/asm-generic/errno*.h.
// Leaves out: everything that has a room of its own.
export { ERRNO, errnoName } from './errno.ts';
export { type ErrorDetail, type ErrorKind, TrampetError } from './error.ts';
export { fromHex, hex32, hex64, toHex } from './hex.ts';
export { Random } from './random.ts';
