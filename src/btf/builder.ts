import { type BtfType, KINDS } from './types.ts';

type Unnumbered<T> = T extends { id: number } ? Omit<T, 'id'> : never;
/** A type before it has a number. */
export type NewType = Unnumbered<BtfType>;

/** Writes BTF: types get their ids in the order in which they are added, from 1. */
export class BtfBuilder {
  readonly #types: NewType[] = [];
  readonly #strings: number[] = [0];
  readonly #offsets = new Map<string, number>([['', 0]]);

  /** Adds a type, which may refer to ids that are added later, and returns its id. */
  add(type: NewType): number {
    this.#types.push(type);
    return this.#types.length;
  }

  /** Raw BTF, as the `.BTF` section holds it. */
  build(): Uint8Array {
    const words: number[] = [];
    for (const type of this.#types) this.#write(type, words);
    const typeBytes = words.length * 4;
    const bytes = new Uint8Array(24 + typeBytes + this.#strings.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, 0xeb9f, true);
    view.setUint8(2, 1);
    view.setUint32(4, 24, true);
    view.setUint32(12, typeBytes, true);
    view.setUint32(16, typeBytes, true);
    view.setUint32(20, this.#strings.length, true);
    words.forEach((word, i) => {
      view.setUint32(24 + 4 * i, word, true);
    });
    bytes.set(this.#strings, 24 + typeBytes);
    return bytes;
  }

  #string(text: string): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    const offset = this.#strings.length;
    for (const byte of new TextEncoder().encode(text)) this.#strings.push(byte);
    this.#strings.push(0);
    this.#offsets.set(text, offset);
    return offset;
  }

  #write(type: NewType, words: number[]): void {
    const head = (vlen: number, flag: boolean, last: number) => {
      words.push(this.#string(type.name), ((flag ? 1 : 0) << 31) | (KINDS.indexOf(type.kind) << 24) | vlen, last);
    };
    switch (type.kind) {
      case 'int':
        head(0, false, type.size);
        words.push(
          (((type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0)) << 24) |
            (type.bitOffset << 16) |
            type.bits,
        );
        return;
      case 'array':
        head(0, false, 0);
        words.push(type.element, type.index, type.length);
        return;
      case 'struct':
      case 'union': {
        const bitfields = type.members.some((member) => member.bitSize > 0);
        head(type.members.length, bitfields, type.size);
        for (const member of type.members) {
          words.push(
            this.#string(member.name),
            member.type,
            bitfields ? (member.bitSize << 24) | member.bitOffset : member.bitOffset,
          );
        }
        return;
      }
      case 'enum':
        head(type.values.length, type.signed, type.size);
        for (const value of type.values) words.push(this.#string(value.name), Number(BigInt.asUintN(32, value.value)));
        return;
      case 'enum64':
        head(type.values.length, type.signed, type.size);
        for (const { name, value } of type.values) {
          words.push(this.#string(name), Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
        }
        return;
      case 'fwd':
        head(0, type.union, 0);
        return;
      case 'func_proto':
        head(type.params.length, false, type.returns);
        for (const param of type.params) words.push(this.#string(param.name), param.type);
        return;
      case 'func':
        head(type.linkage, false, type.type);
        return;
      case 'var':
        head(0, false, type.type);
        words.push(type.linkage);
        return;
      case 'datasec':
        head(type.entries.length, false, type.size);
        for (const entry of type.entries) words.push(entry.type, entry.offset, entry.size);
        return;
      case 'float':
        head(0, false, type.size);
        return;
      case 'decl_tag':
        head(0, false, type.type);
        words.push(type.component >>> 0);
        return;
      case 'void':
        throw new RangeError('void is type 0 of every BTF');
      default:
        head(0, false, type.type);
    }
  }
}
