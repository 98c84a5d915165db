/** One instruction form: what the encoder needs to write it and the decoder to recognise it. */
export interface Row {
  mnemonic: string;
  /** 0: one-byte map, 1: two-byte map (0f …), 2: VEX 0f38. */
  map: 0 | 1 | 2;
  opcode: number;
  /** Mandatory prefix, 0 without. */
  prefix: number;
  /** `/0` … `/7` in ModRM.reg, −1 without. */
  digit: number;
  /** A whole ModRM byte that belongs to the opcode (`endbr64`), −1 without. */
  fixedModrm: number;
  modrm: boolean;
  /** Register in the low three bits of the opcode. */
  plusRegister: boolean;
  operands: readonly Operand[];
  /** Bytes of the immediate or displacement: 0, 1, 2; `z`: 4, or 2 with a 16-bit operand; `v`: 8 with REX.W. */
  immediate: 0 | 1 | 2 | 'z' | 'v';
  /** All operands are bytes. */
  byte: boolean;
  /** Whether the operand in ModRM's rm, or in its reg, is a byte register. */
  byteRm: boolean;
  byteReg: boolean;
  /** 64 bits without REX.W. */
  quad: boolean;
  /** Condition code of jcc, cmovcc, setcc. */
  condition: number;
}

export type OperandPlace = 'E' | 'G' | 'M' | 'Z' | 'B' | 'I' | 'J' | 'AL' | 'rAX' | 'CL' | '1';
export interface Operand {
  place: OperandPlace;
  /** b, w, d, q, v, y, z; empty for fixed ones. */
  size: string;
}

function operand(text: string): Operand {
  if (text === 'AL' || text === 'CL' || text === '1' || text === 'rAX' || text === 'M')
    return { place: text, size: '' };
  return { place: text[0] as OperandPlace, size: text[1] ?? '' };
}

/** Reads one line of the table. */
export function row(mnemonic: string, encoding: string, operands: string): Row {
  const made: Row = {
    mnemonic,
    map: 0,
    opcode: 0,
    prefix: 0,
    digit: -1,
    fixedModrm: -1,
    modrm: false,
    plusRegister: false,
    operands: operands === '' ? [] : operands.split(',').map(operand),
    immediate: 0,
    byte: false,
    byteRm: false,
    byteReg: false,
    quad: false,
    condition: -1,
  };
  const parts = encoding.split(' ');
  if (parts[0]!.startsWith('vex.')) {
    made.prefix = Number.parseInt(parts.shift()!.slice(4, 6), 16);
    made.map = 2;
  }
  if (parts[0] === 'f3') made.prefix = Number.parseInt(parts.shift()!, 16);
  if (parts[0] === '0f') {
    made.map = 1;
    parts.shift();
  }
  const opcode = parts.shift()!;
  made.plusRegister = opcode.endsWith('+r');
  made.opcode = Number.parseInt(opcode, 16);
  const rest = parts[0];
  if (rest !== undefined) {
    made.modrm = true;
    if (/^\/[0-7]$/.test(rest)) made.digit = Number(rest[1]);
    else if (rest !== '/r') made.fixedModrm = Number.parseInt(rest, 16);
  }
  for (const { place, size } of made.operands) {
    if (place === 'I' || place === 'J') made.immediate = size === 'b' ? 1 : size === 'w' ? 2 : size === 'v' ? 'v' : 'z';
  }
  made.byteRm = made.operands.some(({ place, size }) => place === 'E' && size === 'b');
  made.byteReg = made.operands.some(({ place, size }) => place === 'G' && size === 'b');
  made.quad = made.operands[0]?.size === 'q';
  const sized = made.operands.filter(({ place }) => place === 'E' || place === 'G' || place === 'Z');
  made.byte = (sized.length > 0 && sized.every(({ size }) => size === 'b')) || made.operands[0]?.place === 'AL';
  const conditional = /^(j|cmov|set)(?!mp)/.exec(mnemonic);
  if (conditional !== null) made.condition = made.opcode & 15;
  return made;
}
