import { POLLIN, poll, read, viewMemory } from './sys.ts';

/** struct pollfd of poll(2). */
const POLLFD_BYTES = 8;
/** poll(2) ignores an entry with this descriptor. */
const IGNORED = -1;
const POLLIN_SHIFTED = POLLIN << 16;

/** Bytes of memory that a PollSet of this many devices needs. */
export function pollSetBytes(devices: number): number {
  return (devices + 2) * POLLFD_BYTES;
}

/** Devices on which a thread sleeps, and the eventfd that wakes it. */
export class PollSet {
  readonly #at: number;
  readonly #descriptors: number[];
  readonly #wakeFd: number;
  /** An entry for each device and one for the eventfd: descriptor, and events in two halves. */
  readonly #entries: Int32Array;

  /** @param at address of `pollSetBytes` bytes. */
  constructor(at: number, descriptors: number[], wakeFd: number) {
    this.#at = at;
    this.#descriptors = descriptors;
    this.#wakeFd = wakeFd;
    const count = descriptors.length + 1;
    this.#entries = new Int32Array(viewMemory(at, count * POLLFD_BYTES));
    for (let n = 0; n < count; n++) this.#entries[n * 2 + 1] = POLLIN;
    this.#entries[descriptors.length * 2] = wakeFd;
  }

  /**
   * Sleeps until a device has a packet, the eventfd is written, or `ms` have passed. Skips a device
   * whose `lost` is not 0: poll would return at once for it. The number of devices with packets.
   */
  wait(lost: Uint8Array, ms: number): number {
    const entries = this.#entries;
    const devices = this.#descriptors.length;
    for (let n = 0; n < devices; n++) {
      entries[n * 2] = lost[n] === 0 ? this.#descriptors[n]! : IGNORED;
    }
    const count = poll(this.#at, devices + 1, ms);
    const isWoken = (entries[devices * 2 + 1]! & POLLIN_SHIFTED) !== 0;
    if (isWoken) read(this.#wakeFd, this.#at + (devices + 1) * POLLFD_BYTES, 8);
    return isWoken ? count - 1 : count;
  }
}
