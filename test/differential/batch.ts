// Sends many sequences at once, step by step on both sides, and finds how the answers differ.

import { type FlowState, readConntrack, secondsOf } from './conntrack.ts';
import { craft, words } from './craft.ts';
import { decidedBy, withoutDecided } from './decided.ts';
import { describeFlow, describePacket, quotedOf } from './describe.ts';
import {
  clientEnds,
  type Difference,
  type Entry,
  isForServer,
  type Sequence,
  serverEnds,
  Track,
} from './entry.ts';
import { NODES, PLACES, type Place, ROUTES, type Route, SERVICES } from './routes.ts';
import type { Answer, Sending } from './side.ts';
import { CLIENT_PORTS, EDGE, type TrackedFlow, type Twin, type Twins } from './twins.ts';
import { STEPS_MAX, type Step } from './walk.ts';

export const BATCH_MAX = 512;
/** Identifications come in blocks of 16, one block per sequence. */
const ID_SHIFT = 4;
/** Sequences without fragments use the blocks below, in every batch the same. */
export const FIRST_BLOCK = 0x200;
/** The last block is for markers and invented packets. */
export const LAST_BLOCK = 0xffe;
/** Number of ports of a sequence's client. */
const PORTS_EACH = 2;
const MARKER_ID = 0xfff8;
const MARKER_PORT = 900;
const WAIT_S = 30;
const ICMP = 1;
const DF = 0x4000;
/** An internet host that sends ICMP errors. */
const ROUTER = '203.0.113.77';

/** Places with compared flows. */
const TRACKERS = [...NODES, EDGE];
const BALANCERS = new Set(SERVICES.map(({ balancer }) => balancer));

export class Batch {
  readonly #twins: Twins;
  readonly #entries: Entry[];
  readonly #byPort = new Map<string, Entry>();
  readonly #byBlock = new Map<number, Entry>();
  readonly #differences: Difference[] = [];
  readonly #routes: Route[];
  readonly #old = new Set<string>();
  /** Start of each step: ms of the monotonic clock, like the datapath's. */
  readonly #began: number[] = [];
  #step = 0;
  /** Number of equal arrivals on both sides. */
  packets = 0;
  /** How often a decision applied, and how often it ended a sequence. */
  readonly decided: Record<string, { met: number; ended: number }> = {};

  /** @param first the first resources of the batch, see `needsOf`. */
  constructor(twins: Twins, sequences: Sequence[], first: Needs) {
    this.#twins = twins;
    let { blocks } = first;
    this.#entries = sequences.map((sequence, slot) => {
      const ports = Array.from(
        { length: PORTS_EACH },
        (_, i) => first.ports + slot * PORTS_EACH + i,
      );
      const tracks: [Track, Track] = [new Track(ports), new Track(ports)];
      const entry: Entry = {
        sequence,
        block: hasPieces(sequence) ? blocks++ : slot,
        ports,
        tracks,
        flows: [[]],
        decided: null,
        isOver: false,
      };
      for (const port of ports) this.#byPort.set(String(port), entry);
      this.#byBlock.set(entry.block, entry);
      return entry;
    });
    // A refusal gets no answer, so the first route takes the same path.
    this.#routes = [...new Set(sequences.map(({ route }) => route)), ROUTES[0]!].filter(
      ({ name }, i, all) => name !== 'refused' && all.findIndex((r) => r.name === name) === i,
    );
  }

  async run(): Promise<Difference[]> {
    const { kubetun, kernel } = this.#twins;
    await kernel.side.flush(TRACKERS);
    // The datapath still has flows of earlier batches.
    for (const place of TRACKERS) {
      for (const flow of kubetun.arenas![place]!.flows()) this.#old.add(lastOf(place, flow));
    }
    const steps = Math.max(...this.#entries.map(({ sequence }) => sequence.steps.length));
    for (this.#step = 0; this.#step < steps; this.#step++) {
      await kernel.side.setTimeouts(secondsOf(this.#step), TRACKERS);
      this.#began.push(Number(process.hrtime.bigint() / 1_000_000n) | 0);
      const answers = await Promise.all([this.#send(kubetun, 0), this.#send(kernel, 1)]);
      answers.forEach((answer, side) => {
        this.#sort(answer, side);
      });
      const flows = await Promise.all([this.#flows(kubetun), this.#flows(kernel)]);
      flows.forEach((all, side) => {
        this.#sortFlows(all, side);
      });
      this.#compare();
    }
    return this.#differences;
  }

  #send(twin: Twin, side: number): Promise<Answer> {
    const packets: Sending[] = [];
    for (const entry of this.#entries) {
      const step = entry.sequence.steps[this.#step];
      if (!step || entry.isOver) continue;
      entry.tracks[side]!.save();
      packets.push(...this.#packets(entry, step, entry.tracks[side]!));
    }
    const markers = this.#routes.map((route, i) => this.#marker(route, i));
    return twin.side.step(packets, markers, WAIT_S);
  }

  #packets(entry: Entry, step: Step, track: Track): Sending[] {
    const { route } = entry.sequence;
    const fromClient = step.from === 'client';
    const id = (entry.block << ID_SHIFT) | ((step.idOf ?? this.#step) + 1);
    const received = fromClient ? track.atClient : track.atServer;
    const ends = fromClient ? clientEnds(entry, step, received) : serverEnds(entry, received);
    const place: Place = fromClient ? route.client : route.server;
    if (step.from === 'router') return this.#fromRouter(entry, step, track, id);
    return craft(step, ends, id, received).map((packet): Sending => [place, packet]);
  }

  /** An internet router sends errors about what the end there received, to its sender. */
  #fromRouter(entry: Entry, step: Step, track: Track, id: number): Sending[] {
    const atClient = entry.sequence.route.client === 'internet';
    const received = atClient ? track.atClient : track.atServer;
    const ends = atClient
      ? { ...clientEnds(entry, step, received), src: words(ROUTER) }
      : { ...serverEnds(entry, received), src: words(ROUTER) };
    return craft(step, ends, id, received).map((packet): Sending => ['internet', packet]);
  }

  #marker(route: Route, number: number): Sending {
    const ends = {
      src: words(PLACES[route.client]),
      sport: MARKER_PORT,
      dst: words(route.target.address),
      dport: route.target.port,
    };
    const step: Step = { kind: 'udp', from: 'client', data: 16, damage: 'no-sum' };
    const packet = craft(step, ends, MARKER_ID, null)[0]!;
    packet.write('ktmark', 28, 'latin1');
    packet[34] = 0;
    packet.writeUInt32BE(this.#step, 35);
    packet.writeUInt32BE(number, 39);
    return [route.client, packet];
  }

  /** Assigns each arrival to its sequence. */
  #sort({ lines, lost }: Answer, side: number): void {
    if (lost > 0) throw new Error(`${lost} markers of step ${this.#step} did not come back`);
    for (const [place, packet] of lines) {
      const entry = this.#entryOf(packet);
      if (!entry || entry.isOver) continue;
      const track = entry.tracks[side]!;
      const { route } = entry.sequence;
      const isOwn = isCrafted(packet, entry.block);
      if (!isOwn && isByKernel(packet)) continue;
      const whole = track.pieces.take(packet);
      if (!whole) continue;
      track.arrived.push(`${place}: ${describePacket(whole, track.names, isOwn)}`);
      // Ends answer each other, not refusals or ICMP errors.
      if (quotedOf(whole) || !isOwn) continue;
      const toServer = place === route.server && isForServer(entry, whole);
      if (toServer) track.atServer = whole;
      else if (place === route.client) track.atClient = whole;
    }
  }

  #entryOf(packet: Buffer): Entry | undefined {
    const quoted = quotedOf(packet);
    const inner = quoted ?? packet;
    const at = (inner[0]! & 15) * 4;
    const id = inner.readUInt16BE(4);
    const bySlot = (id & 15) === 0 ? undefined : this.#byBlock.get(id >> ID_SHIFT);
    if (inner[9] !== ICMP) {
      const isShort = inner.length < at + 4;
      return bySlot ?? (isShort ? undefined : this.#byPorts(inner, at, at + 2));
    }
    // A node's kernel chooses the IP identification of its ICMP replies: it names no sequence.
    const isCrafted = quoted || (packet.readUInt16BE(6) & DF) !== 0;
    const byQuery = inner.length < at + 8 ? undefined : this.#byPorts(inner, at + 4, at + 4);
    return byQuery ?? (isCrafted ? bySlot : undefined);
  }

  #byPorts(packet: Buffer, one: number, other: number): Entry | undefined {
    const port = (at: number) => this.#byPort.get(String(packet.readUInt16BE(at)));
    return port(other) ?? port(one);
  }

  async #flows({ side, arenas }: Twin): Promise<[place: string, flow: FlowState][]> {
    if (arenas) {
      return TRACKERS.flatMap((place) => {
        const flows = [...arenas[place]!.flows()].filter(
          (flow) => !this.#old.has(lastOf(place, flow)),
        );
        return flows.map((flow): [string, FlowState] => {
          const renewed = this.#began.findLastIndex((began) => began <= flow.renewedAt);
          return [place, { ...flow, renewed }];
        });
      });
    }
    const dumps = await side.dump(TRACKERS);
    return dumps.flatMap(([place, bytes]) =>
      readConntrack(bytes)
        // The datapath tracks balancers there; its one-to-one translation has no flows.
        .filter((flow) => place !== EDGE || BALANCERS.has(flow.original.dst))
        .map((flow): [string, FlowState] => [place, flow]),
    );
  }

  /** A flow belongs to the sequence with its client port, before or after translation. */
  #sortFlows(all: [node: string, flow: FlowState][], side: number): void {
    const chosen = new Map<string, Entry>();
    for (const entry of this.#entries) entry.tracks[side]!.flows = [];
    const later: [string, FlowState][] = [];
    const add = (entry: Entry, node: string, flow: FlowState) => {
      if (entry.isOver) return;
      const track = entry.tracks[side]!;
      track.flows.push(describeFlow(node, flow, track.names));
    };
    for (const [node, flow] of all) {
      const { proto, original: o, reply: r } = flow;
      const entry = this.#byPort.get(String(o.sport)) ?? this.#byPort.get(String(o.dport));
      // A source port that masquerading chose may be the client port of another sequence.
      const isMoved = o.sport !== r.dport && this.#byPort.has(String(o.sport));
      if (entry && isMoved) {
        chosen.set(`${proto} ${r.dst}:${r.dport} ${r.src}:${r.sport}`, entry);
        add(entry, node, flow);
      } else later.push([node, flow]);
    }
    for (const [node, flow] of later) {
      const { proto, original: o } = flow;
      const [from, to] = [`${o.src}:${o.sport}`, `${o.dst}:${o.dport}`];
      const entry =
        chosen.get(`${proto} ${from} ${to}`) ??
        chosen.get(`${proto} ${to} ${from}`) ??
        this.#byPort.get(String(o.sport)) ??
        this.#byPort.get(String(o.dport));
      if (entry) add(entry, node, flow);
    }
  }

  #compare(): void {
    for (const entry of this.#entries) {
      if (entry.isOver) continue;
      const [kubetun, kernel] = entry.tracks;
      this.#differ(entry, 'packets', kubetun.arrived.sort(), kernel.arrived.sort());
      if (!entry.isOver) this.#differ(entry, 'flows', kubetun.flows.sort(), kernel.flows.sort());
      if (this.#step === entry.sequence.steps.length - 1) entry.isOver = true;
      entry.flows.push(kernel.flows);
      entry.decided = null;
      for (const track of entry.tracks) track.arrived = [];
    }
  }

  #differ(entry: Entry, kind: Difference['kind'], kubetun: string[], kernel: string[]): void {
    const { sequence, flows, decided } = entry;
    const at = { sequence, step: this.#step, kind, flows: [...flows], decided };
    const left = withoutDecided({ ...at, kubetun, kernel });
    if (left.kubetun.join('\n') === left.kernel.join('\n')) {
      if (kind === 'packets') this.packets += kubetun.length;
      return;
    }
    const name = decidedBy(left);
    if (!name) this.#differences.push(left);
    entry.decided = name;
    // Takes back what reached only one side. Different flows make all later steps differ.
    if (name && kind === 'packets') for (const track of entry.tracks) track.restore();
    else entry.isOver = true;
    if (!name) return;
    this.decided[name] ??= { met: 0, ended: 0 };
    this.decided[name].met++;
    if (entry.isOver) this.decided[name].ended++;
  }
}

/**
 * Messages from the kernels of nodes, some with long delay: answers to queries, and ICMP errors
 * about silent hosts and incomplete datagrams.
 */
function isByKernel(packet: Buffer): boolean {
  const at = (packet[0]! & 15) * 4;
  if (packet[9] !== 1 || packet.length < at + 8) return false;
  return BY_KERNEL.has(packet.readUInt16BE(at)) || ECHO_REPLIES.has(packet[at]!);
}

/** Type and code: host unreachable, reassembly time exceeded. */
const BY_KERNEL = new Set([0x0301, 0x0b01]);
const ECHO_REPLIES = new Set([0, 14, 16, 18]);

/** A crafted packet has an identification of its sequence. Kernels choose theirs at random, and let
 * their own ICMP messages be fragmented. */
function isCrafted(packet: Buffer, block: number): boolean {
  const id = packet.readUInt16BE(4);
  if (id >> ID_SHIFT !== block || (id & 15) === 0) return false;
  return packet[9] !== ICMP || (packet.readUInt16BE(6) & DF) !== 0;
}

/**
 * A flow and its last packet. If a port is chosen again, a flow of an earlier batch may get a
 * packet of this batch.
 */
function lastOf(node: string, { proto, original: o, packets, renewedAt }: TrackedFlow): string {
  return `${node} ${proto} ${o.src}:${o.sport} ${o.dst}:${o.dport} ${packets} ${renewedAt}`;
}

/** Resources of a batch until the datapath and all kernels have forgotten it. */
export interface Needs {
  /** For each client. */
  ports: number;
  /** Blocks of identifications: state about a fragmented datagram outlives it. */
  blocks: number;
}

export function needsOf(sequences: Sequence[]): Needs {
  const blocks = sequences.filter(hasPieces).length;
  return { ports: sequences.length * PORTS_EACH, blocks };
}

function hasPieces({ steps }: Sequence): boolean {
  return steps.some(({ pieces }) => pieces);
}

export const FIRST_PORT = CLIENT_PORTS[0];
export const LAST_PORT = CLIENT_PORTS[1];
if (STEPS_MAX > 15) throw new Error('an identification has four bits for its step');
if (BATCH_MAX > FIRST_BLOCK) throw new Error('a batch has more sequences than first blocks');
