// A sequence as it is sent: what each side knows of it, and the ends of its next packet.
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

/** What one side knows of a sequence. */
export class Track {
  names: PortNames;
  readonly pieces = new Reassembly();
  /** The packets that each end got last. */
  atServer: Buffer | null = null;
  atClient: Buffer | null = null;
  arrived: string[] = [];
  flows: string[] = [];
  #saved: Pick<Track, 'names' | 'atServer' | 'atClient'> | null = null;

  constructor(ports: number[]) {
    this.names = new PortNames(ports, FIXED_PORTS);
  }

  /** Remembers what the ends know before a step. */
  save(): void {
    const { atServer, atClient } = this;
    this.#saved = { names: this.names.copy(), atServer, atClient };
  }

  /** As if nothing of the step had arrived. */
  restore(): void {
    Object.assign(this, this.#saved);
  }
}

export interface Entry {
  sequence: Sequence;
  /** Its identifications, without the last four bits. */
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
    // A complaint goes to the sender of what it is about.
    dst:
      step.kind === 'icmp' && step.quote === 'received' && received
        ? received.readInt32BE(12)
        : words(to.address),
    dport: to.port,
  };
}

/** Back to where the last packet came from; without one to the client as it is. */
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

/** At a place that is both ends of a hairpin the destination port says which. */
export function isForServer({ sequence }: Entry, packet: Buffer): boolean {
  const { client, server, port } = sequence.route;
  if (client !== server) return true;
  const at = (packet[0]! & 15) * 4;
  if (packet[9] === 1) return packet[at] === 8;
  return packet.length >= at + 4 && packet.readUInt16BE(at + 2) === port;
}
