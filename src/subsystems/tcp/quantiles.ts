/** Values below this are told apart exactly; above, each power of two has half as many steps. */
const EXACT = 2048;
const EXACT_BITS = 11;

/** Counts whole numbers below 2³², so that quantiles can be told later: exact below 2048, to one in a thousand above, in constant memory. */
export class Quantiles {
  #counts = new Uint32Array(EXACT);
  #total = 0;

  add(value: number): void {
    const place = placeOf(value);
    if (place >= this.#counts.length) {
      const grown = new Uint32Array((Math.floor(place / EXACT) + 1) * EXACT);
      grown.set(this.#counts);
      this.#counts = grown;
    }
    this.#counts[place]!++;
    this.#total++;
  }

  /** The least value that at least `share` of all do not exceed, rounded down to its step; 0 without any. */
  at(share: number): number {
    let left = Math.ceil(this.#total * share);
    for (let place = 0; place < this.#counts.length; place++) {
      left -= this.#counts[place]!;
      if (left <= 0 && this.#total > 0) return stepAt(place);
    }
    return 0;
  }
}

function placeOf(value: number): number {
  if (value < EXACT) return value;
  const shift = 32 - Math.clz32(value) - EXACT_BITS;
  return shift * (EXACT / 2) + (value >>> shift);
}

function stepAt(place: number): number {
  if (place < EXACT) return place;
  const shift = Math.floor((place * 2) / EXACT) - 1;
  return (place - (shift * EXACT) / 2) * 2 ** shift;
}
