import { formatAddress, parseAddress, parseRange } from '../../datapath/wire/address.ts';
import { sizeOf } from '../topology/topology.ts';

/** Pod addresses of one node. What was given back longest ago is given first, so that old flows have ended by then. */
export class PodAddresses {
  readonly #base: number;
  /** Offsets that are free, the oldest first. */
  readonly #free: number[] = [];

  /** @param range such as 10.244.1.0/24; its first two addresses and its last are nobody's. */
  constructor(range: string) {
    this.#base = parseRange(range)!.address;
    for (let offset = 2; offset < sizeOf(range) - 1; offset++) this.#free.push(offset);
  }

  /** Null when all are taken. */
  take(): string | null {
    const offset = this.#free.shift();
    return offset === undefined ? null : formatAddress((this.#base + offset) | 0);
  }

  /** Takes this very address out; false if it is not free. */
  claim(address: string): boolean {
    const at = this.#free.indexOf(this.#offset(address));
    if (at < 0) return false;
    this.#free.splice(at, 1);
    return true;
  }

  giveBack(address: string): void {
    const offset = this.#offset(address);
    if (!this.#free.includes(offset)) this.#free.push(offset);
  }

  #offset(address: string): number {
    return (parseAddress(address)! - this.#base) | 0;
  }
}
