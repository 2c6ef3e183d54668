import { formatAddress, parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { sizeOf } from '../../topology/topology.ts';

/**
 * Pod addresses of one node. What was given back longest ago is given first, so that old flows have
 * ended by then.
 */
export class PodAddresses {
  readonly #base: number;
  readonly #size: number;
  /** Offsets that are free, the oldest first. */
  readonly #free: number[] = [];

  /** @param range such as 10.244.1.0/24; its first two addresses and its last are nobody's. */
  constructor(range: string) {
    this.#base = parseRange(range)!.address;
    this.#size = sizeOf(range);
    for (let offset = 2; offset < this.#size - 1; offset++) this.#free.push(offset);
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

  /** One that is not of the range, such as the node's own, is nobody's to give again. */
  giveBack(address: string): void {
    const offset = this.#offset(address);
    if (offset < 2 || offset >= this.#size - 1) return;
    if (!this.#free.includes(offset)) this.#free.push(offset);
  }

  #offset(address: string): number {
    return (parseAddress(address)! - this.#base) | 0;
  }
}
