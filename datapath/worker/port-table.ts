// The ports of a datapath, in memory that the engine writes and its worker reads. The engine writes
// an entry, then a new version. The worker acknowledges each version: only then may the descriptor
// of a removed port be closed, and its entry be used again.
import { PORTS_MAX } from '../pipeline/batch.ts';

const VERSION = 0;
const ACKNOWLEDGED = 1;
const HEADER_WORDS = 16;
/** Words of an entry. A free entry has kind 0. */
const E_KIND = 0;
const E_FD = 1;
const E_ADDRESS = 2;
/** Distinguishes two ports that had the same number. */
const E_SERIAL = 3;
const E_LINKS = 4;
const ENTRY_WORDS = 5;

export const PORT_TABLE_BYTES = (HEADER_WORDS + PORTS_MAX * ENTRY_WORDS) * 4;

/**
 * Kinds: the device of the node's kernel; the device of packets with a foreign source; the device
 * of a pod.
 */
export const KIND_MAIN = 1;
export const KIND_SPOOFED = 2;
export const KIND_POD = 3;

export interface PortEntry {
  kind: number;
  fd: number;
  /** A pod's address, as int32. */
  address: number;
  /** A pod's descriptor of link events, else -1. */
  links: number;
}

export class PortTable {
  readonly #words: Int32Array;
  #serial = 0;

  /** @param memory PORT_TABLE_BYTES. */
  constructor(memory: ArrayBuffer) {
    this.#words = new Int32Array(memory, 0, PORT_TABLE_BYTES / 4);
  }

  get version(): number {
    return Atomics.load(this.#words, VERSION);
  }

  get acknowledged(): number {
    return Atomics.load(this.#words, ACKNOWLEDGED);
  }

  acknowledge(version: number): void {
    Atomics.store(this.#words, ACKNOWLEDGED, version);
  }

  /** 0 for a free entry. */
  serialOf(port: number): number {
    const at = entryAt(port);
    return this.#words[at + E_KIND] === 0 ? 0 : this.#words[at + E_SERIAL]!;
  }

  entryOf(port: number): PortEntry {
    const at = entryAt(port);
    const words = this.#words;
    return {
      ...{ kind: words[at + E_KIND]!, fd: words[at + E_FD]! },
      ...{ address: words[at + E_ADDRESS]!, links: words[at + E_LINKS]! },
    };
  }

  set(port: number, { kind, fd, address, links }: PortEntry): void {
    this.#words.set([kind, fd, address, ++this.#serial, links], entryAt(port));
    Atomics.add(this.#words, VERSION, 1);
  }

  /** Frees an entry. Returns the version whose acknowledgement ends its use. */
  clear(port: number): number {
    this.#words[entryAt(port) + E_KIND] = 0;
    return Atomics.add(this.#words, VERSION, 1) + 1;
  }
}

function entryAt(port: number): number {
  return HEADER_WORDS + port * ENTRY_WORDS;
}
