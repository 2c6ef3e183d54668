// The state of a sequence: what each side knows of it, and the ends of its next packet.
import { words } from './craft.ts';
import { PortNames } from './describe.ts';
import { Reassembly } from './pieces.ts';
import { PLACES, ROUTES, type Route } from './routes.ts';
import type { Step } from './walk.ts';

export interface Sequence {
  seed: number;
  route: Route;
  steps: Step[];
}

const FIXED_PORTS = new Set([
  ...[9, 80, 81, 8080, 9000],
  ...ROUTES.flatMap(({ target, other, port }) => [target.port, other.port, port]),
]);

export interface Difference {
  sequence: Sequence;
  /** Index of the first step with a difference. */
  step: number;
  kind: 'packets' | 'flows';
  kubetun: string[];
  kernel: string[];
  /** The kernel's flows before each step. */
  flows: string[][];
  /** The decision about the step's packets; applies to its flows. */
  decided: string | null;
}

/** What one side knows of a sequence. */
export class Track {
  names: PortNames;
  readonly pieces = new Reassembly();
  /** The last packet that each end received. */
  atServer: Buffer | null = null;
  atClient: Buffer | null = null;
  arrived: string[] = [];
  flows: string[] = [];
  #saved: Pick<Track, 'names' | 'atServer' | 'atClient'> | null = null;

  constructor(ports: number[]) {
    this.names = new PortNames(ports, FIXED_PORTS);
  }

  /** Saves the ends' state before a step. */
  save(): void {
    const { atServer, atClient } = this;
    this.#saved = { names: this.names.copy(), atServer, atClient };
  }

  /** Restores the state, as if nothing had arrived. */
  restore(): void {
    Object.assign(this, this.#saved);
  }
}

export interface Entry {
  sequence: Sequence;
  /** Its block of identifications: without the last four bits. */
  block: number;
  ports: number[];
  tracks: [Track, Track];
  /** The kernel's flows before each step. */
  flows: string[][];
  decided: string | null;
  isOver: boolean;
}

export function clientEnds({ sequence, ports }: Entry, step: Step, received: Buffer | null) {
  const { client, target, other } = sequence.route;
  const to = step.other ? other : target;
  return {
    src: words(PLACES[client]),
    sport: ports[step.port ?? 0]!,
    // An ICMP error goes to the sender of the quoted packet.
    dst:
      step.kind === 'icmp' && step.quote === 'received' && received
        ? received.readInt32BE(12)
        : words(to.address),
    dport: to.port,
  };
}

/** Back to the sender of the last packet, or to the client if there was none. */
export function serverEnds({ sequence, ports }: Entry, received: Buffer | null) {
  const { server, client, port } = sequence.route;
  const nominal = {
    src: words(PLACES[server]),
    sport: port,
    dst: words(PLACES[client]),
    dport: ports[0]!,
  };
  if (!received) return nominal;
  const at = (received[0]! & 15) * 4;
  const addresses = { src: received.readInt32BE(16), dst: received.readInt32BE(12) };
  if (received.length < at + 8) return { ...nominal, ...addresses };
  if (received[9] === 1) return { ...nominal, ...addresses, dport: received.readUInt16BE(at + 4) };
  return {
    ...addresses,
    sport: received.readUInt16BE(at + 2),
    dport: received.readUInt16BE(at),
  };
}

/** In a hairpin, where one place is both ends, the destination port tells them apart. */
export function isForServer({ sequence }: Entry, packet: Buffer): boolean {
  const { client, server, port } = sequence.route;
  if (client !== server) return true;
  const at = (packet[0]! & 15) * 4;
  if (packet[9] === 1) return packet[at] === 8;
  return packet.length >= at + 4 && packet.readUInt16BE(at + 2) === port;
}
