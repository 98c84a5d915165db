/**
 * Flags are kept as the operation that set them, and worked out when a condition asks. Operands are aligned to the top of
 * 64 bits, so that one set of rules serves all sizes.
 *
 *     0 kind │ 1 operand size │ 2, 3 a │ 4, 5 b │ 6, 7 result   (low, high)
 */
export const FLAGS_WORDS = 8;
/** EXPLICIT: the flags' bits themselves in word 6. LOGIC: CF and OF clear. MUL: CF and OF say whether the product was cut. */
export const KIND = { EXPLICIT: 0, ADD: 1, SUB: 2, LOGIC: 3, MUL: 4 } as const;
/** Bits of RFLAGS. */
export const FLAG = { CF: 1, PF: 4, ZF: 0x40, SF: 0x80, OF: 0x800 } as const;

export function setFlags(
  fl: Int32Array,
  kind: number,
  size: number,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
  rLo: number,
  rHi: number,
): void {
  fl[0] = kind;
  fl[1] = size;
  fl[2] = aLo;
  fl[3] = aHi;
  fl[4] = bLo;
  fl[5] = bHi;
  fl[6] = rLo;
  fl[7] = rHi;
}

export function setExplicit(fl: Int32Array, bits: number): void {
  fl[0] = KIND.EXPLICIT;
  fl[6] = bits;
}

const below = (aLo: number, aHi: number, bLo: number, bHi: number) =>
  aHi >>> 0 < bHi >>> 0 || (aHi === bHi && aLo >>> 0 < bLo >>> 0);
const less = (aLo: number, aHi: number, bLo: number, bHi: number) =>
  aHi < bHi || (aHi === bHi && aLo >>> 0 < bLo >>> 0);

/** Whether the signed product of a and b does not fit in the operand size. */
function cut(fl: Int32Array): boolean {
  const width = 8 * fl[1]!;
  const join = (lo: number, hi: number) => BigInt.asIntN(width, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
  const product = join(fl[2]!, fl[3]!) * join(fl[4]!, fl[5]!);
  return BigInt.asIntN(width, product) !== product;
}

function carry(fl: Int32Array): boolean {
  switch (fl[0]) {
    case KIND.ADD:
      return below(fl[6]!, fl[7]!, fl[2]!, fl[3]!);
    case KIND.SUB:
      return below(fl[2]!, fl[3]!, fl[4]!, fl[5]!);
    case KIND.LOGIC:
      return false;
    case KIND.MUL:
      return cut(fl);
    default:
      return (fl[6]! & FLAG.CF) !== 0;
  }
}

function overflow(fl: Int32Array): boolean {
  switch (fl[0]) {
    case KIND.ADD:
      return (~(fl[3]! ^ fl[5]!) & (fl[3]! ^ fl[7]!)) < 0;
    case KIND.SUB:
      return ((fl[3]! ^ fl[5]!) & (fl[3]! ^ fl[7]!)) < 0;
    case KIND.LOGIC:
      return false;
    case KIND.MUL:
      return cut(fl);
    default:
      return (fl[6]! & FLAG.OF) !== 0;
  }
}

const zero = (fl: Int32Array) => (fl[0] === KIND.EXPLICIT ? (fl[6]! & FLAG.ZF) !== 0 : (fl[6]! | fl[7]!) === 0);
const sign = (fl: Int32Array) => (fl[0] === KIND.EXPLICIT ? (fl[6]! & FLAG.SF) !== 0 : fl[7]! < 0);

function parity(fl: Int32Array): boolean {
  if (fl[0] === KIND.EXPLICIT) return (fl[6]! & FLAG.PF) !== 0;
  const size = fl[1]!;
  return evenParity(size === 8 ? fl[6]! : fl[7]! >>> (32 - 8 * size));
}

export function evenParity(value: number): boolean {
  let bits = value & 0xff;
  bits ^= bits >> 4;
  bits ^= bits >> 2;
  bits ^= bits >> 1;
  return (bits & 1) === 0;
}

/** Whether condition `cc` (the low four bits of jcc) holds. */
export function condition(fl: Int32Array, cc: number): boolean {
  let holds: boolean;
  switch (cc >> 1) {
    case 0:
      holds = overflow(fl);
      break;
    case 1:
      holds = carry(fl);
      break;
    case 2:
      holds = zero(fl);
      break;
    case 3:
      holds = carry(fl) || zero(fl);
      break;
    case 4:
      holds = sign(fl);
      break;
    case 5:
      holds = parity(fl);
      break;
    case 6:
      holds = fl[0] === KIND.SUB ? less(fl[2]!, fl[3]!, fl[4]!, fl[5]!) : sign(fl) !== overflow(fl);
      break;
    default:
      holds = zero(fl) || (fl[0] === KIND.SUB ? less(fl[2]!, fl[3]!, fl[4]!, fl[5]!) : sign(fl) !== overflow(fl));
  }
  return holds !== ((cc & 1) === 1);
}

/** CF, PF, ZF, SF and OF as bits of RFLAGS. */
export function flagBits(fl: Int32Array): number {
  return (
    (carry(fl) ? FLAG.CF : 0) |
    (parity(fl) ? FLAG.PF : 0) |
    (zero(fl) ? FLAG.ZF : 0) |
    (sign(fl) ? FLAG.SF : 0) |
    (overflow(fl) ? FLAG.OF : 0)
  );
}
