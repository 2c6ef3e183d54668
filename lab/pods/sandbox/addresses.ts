import { formatAddress, parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { sizeOf } from '../../topology/topology.ts';

/**
 * Pod addresses of one node. The address that was returned first is given first, so that flows of
 * its old pod have ended.
 */
export class PodAddresses {
  readonly #base: number;
  readonly #size: number;
  /** Free offsets, oldest first. */
  readonly #free: number[] = [];

  /** @param range such as 10.244.1.0/24. Its first two addresses and its last are never given. */
  constructor(range: string) {
    this.#base = parseRange(range)!.address;
    this.#size = sizeOf(range);
    for (let offset = 2; offset < this.#size - 1; offset++) this.#free.push(offset);
  }

  /** A free address, or null if there is none. */
  take(): string | null {
    const offset = this.#free.shift();
    return offset === undefined ? null : formatAddress((this.#base + offset) | 0);
  }

  /** Takes this address. False if it is not free. */
  claim(address: string): boolean {
    const at = this.#free.indexOf(this.#offset(address));
    if (at < 0) return false;
    this.#free.splice(at, 1);
    return true;
  }

  /** Returns an address. One outside the range, such as the node's own, is ignored. */
  giveBack(address: string): void {
    const offset = this.#offset(address);
    if (offset < 2 || offset >= this.#size - 1) return;
    if (!this.#free.includes(offset)) this.#free.push(offset);
  }

  #offset(address: string): number {
    return (parseAddress(address)! - this.#base) | 0;
  }
}
