import {
  FRONTEND_PROBES_MAX,
  hashFrontend,
  SLOT_ADDRESS,
  SLOT_KIND,
  SLOT_PORT_PROTO,
  SLOT_SERVICE,
  SLOT_WORDS,
} from './image-layout.ts';

/** A frontend map being built or changed, in ordinary memory; at most half full, so a search always ends. */
export class FrontendMap {
  words: Int32Array;
  #used = 0;

  constructor(slots: number) {
    this.words = new Int32Array(slots * SLOT_WORDS);
  }

  get mask(): number {
    return this.words.length / SLOT_WORDS - 1;
  }

  /** Word offset of the key's slot, or of the free slot where it belongs. */
  #locate(address: number, portProto: number): number {
    const mask = this.mask;
    let slot = hashFrontend(address, portProto) & mask;
    for (;;) {
      const at = slot * SLOT_WORDS;
      const w = this.words;
      if (w[at + SLOT_KIND] === 0) return at;
      if (w[at + SLOT_ADDRESS] === address && w[at + SLOT_PORT_PROTO] === portProto) return at;
      slot = (slot + 1) & mask;
    }
  }

  set(address: number, portProto: number, service: number, kind: number): void {
    if ((this.#used + 1) * 2 > this.mask + 1) this.#grow();
    let at = this.#locate(address, portProto);
    if (this.words[at + SLOT_KIND] === 0) this.#used++;
    while (this.#isFar(at, address, portProto)) {
      this.#grow();
      at = this.#locate(address, portProto);
    }
    this.words[at + SLOT_ADDRESS] = address;
    this.words[at + SLOT_PORT_PROTO] = portProto;
    this.words[at + SLOT_SERVICE] = service;
    this.words[at + SLOT_KIND] = kind;
  }

  delete(address: number, portProto: number): void {
    const gapAt = this.#locate(address, portProto);
    if (this.words[gapAt + SLOT_KIND] === 0) return;
    this.#used--;
    const { words, mask } = this;
    let gap = gapAt / SLOT_WORDS;
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * SLOT_WORDS;
      if (words[at + SLOT_KIND] === 0) break;
      const home = hashFrontend(words[at + SLOT_ADDRESS]!, words[at + SLOT_PORT_PROTO]!) & mask;
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        words.copyWithin(gap * SLOT_WORDS, at, at + SLOT_WORDS);
        gap = slot;
      }
    }
    words.fill(0, gap * SLOT_WORDS, (gap + 1) * SLOT_WORDS);
  }

  /** True if the hot path would give up before it came here. */
  #isFar(at: number, address: number, portProto: number): boolean {
    const home = hashFrontend(address, portProto) & this.mask;
    return ((at / SLOT_WORDS - home) & this.mask) >= FRONTEND_PROBES_MAX;
  }

  /** Twice the slots, or as many as it takes for everything to lie near its home. */
  #grow(): void {
    const old = this.words;
    let slots = old.length / SLOT_WORDS;
    do {
      slots *= 2;
      this.words = new Int32Array(slots * SLOT_WORDS);
    } while (!this.#takeOver(old));
  }

  /** Copies every entry of a smaller map; false when one would lie too far from its home. */
  #takeOver(old: Int32Array): boolean {
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      if (old[at + SLOT_KIND] === 0) continue;
      const [address, portProto] = [old[at + SLOT_ADDRESS]!, old[at + SLOT_PORT_PROTO]!];
      const to = this.#locate(address, portProto);
      if (this.#isFar(to, address, portProto)) return false;
      this.words.set(old.subarray(at, at + SLOT_WORDS), to);
    }
    return true;
  }
}
