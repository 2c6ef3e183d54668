import { DEVICE_EMPTY, DEVICE_LOST, type Device } from './device.ts';

/** A device without a kernel: the loop reads from `incoming` and writes to `outgoing`. */
export class MemoryDevice implements Device {
  readonly name: string;
  readonly incoming: Uint8Array[] = [];
  readonly outgoing: Uint8Array[] = [];
  /** A lost device is not read. */
  isLost = false;
  /** A full device takes no packet. */
  isFull = false;
  /** What `mtu` returns. */
  mtuBytes = 1500;
  readonly #buffer: Uint8Array;

  /** @param buffer the loop's buffer; its first byte has the address 0. */
  constructor(name: string, buffer: Uint8Array) {
    this.name = name;
    this.#buffer = buffer;
  }

  read(at: number, bytes: number): number {
    if (this.isLost) return DEVICE_LOST;
    const packet = this.incoming.shift();
    if (packet === undefined) return DEVICE_EMPTY;
    const length = Math.min(packet.length, bytes);
    this.#buffer.set(packet.subarray(0, length), at);
    return length;
  }

  write(at: number, bytes: number): boolean {
    if (this.isLost || this.isFull) return false;
    this.outgoing.push(this.#buffer.slice(at, at + bytes));
    return true;
  }

  mtu(): number {
    return this.mtuBytes;
  }

  close(): void {
    this.isLost = true;
  }
}
