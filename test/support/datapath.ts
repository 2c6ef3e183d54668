// A datapath in memory: frames in, verdicts and frames out, with injected clock and random seed.

import { type Arena, createArena } from '../../datapath/arena/arena.ts';
import type { Timeouts } from '../../datapath/flow/timeouts.ts';
import {
  FRONTEND_CLUSTER,
  FRONTEND_NODEPORT,
  type FrontendEntry,
  type ImageChange,
  type NodeEntry,
  type ServiceEntry,
} from '../../datapath/image/image.ts';
import { ImageWriter } from '../../datapath/image/writer.ts';
import {
  createBatch,
  P_LENGTH,
  P_OUT,
  P_SIDE,
  P_START,
  P_VERDICT,
  P_WORDS,
} from '../../datapath/pipeline/batch.ts';
import { Datapath } from '../../datapath/pipeline/datapath.ts';
import { run, tick } from '../../datapath/pipeline/run.ts';
import { COUNTER_BASE, COUNTERS, DROP_REASONS } from '../../datapath/pipeline/verdict.ts';
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import { PROTO_TCP, PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import { type Decoded, decode } from './packets.ts';

export const NODE = '172.18.0.11';
export const OTHER_NODE = '172.18.0.12';
export const POD = '10.244.1.5';
export const BACKEND = '10.244.2.7';
export const VIP = '10.96.0.50';
export const OUTSIDE = '203.0.113.10';

export const addr = (text: string): number => parseAddress(text)!;

export const NODE_ENTRY: NodeEntry = {
  nodeAddress: addr(NODE),
  nodeAddresses: [addr(NODE), addr(OTHER_NODE)],
  podRanges: [parseRange('10.244.1.0/24')!, parseRange('10.244.2.0/24')!],
  serviceRange: parseRange('10.96.0.0/16')!,
  snatPortMin: 40_000,
  snatPortMax: 65_534,
};

/** Pairs (address, port) from `10.0.0.1:80` strings. */
export function pairs(...endpoints: string[]): Int32Array {
  return Int32Array.from(
    endpoints.flatMap((e) => {
      const [address, port] = e.split(':');
      return [addr(address!), Number(port)];
    }),
  );
}

export function service(id: number, o: Partial<ServiceEntry> = {}): ServiceEntry {
  return {
    id,
    name: `default/web${id}:80`,
    proto: PROTO_TCP,
    flags: 0,
    affinityS: 0,
    cluster: pairs(`${BACKEND}:8080`),
    local: new Int32Array(0),
    serving: new Int32Array(0),
    sourceRanges: new Int32Array(0),
    ...o,
  };
}

export function frontend(
  endpoint: string,
  serviceId: number,
  kind: number = FRONTEND_CLUSTER,
  proto: number = PROTO_TCP,
): FrontendEntry {
  const [address, port] = endpoint.split(':');
  return { address: addr(address!), port: Number(port), proto, kind, serviceId };
}

export function change(o: Partial<ImageChange> = {}): ImageChange {
  return { node: null, upsert: [], remove: [], addFrontends: [], removeFrontends: [], ...o };
}

/**
 * web on VIP:80 and NODE:30080 over TCP, dns on VIP:53 over UDP, an empty Service on 10.96.0.99:80.
 */
export const DEFAULT_IMAGE: ImageChange = change({
  node: NODE_ENTRY,
  upsert: [
    service(1),
    service(2, { name: 'default/dns:53', proto: PROTO_UDP, cluster: pairs(`${BACKEND}:5353`) }),
    service(3, { name: 'default/empty:80', cluster: new Int32Array(0) }),
  ],
  addFrontends: [
    frontend(`${VIP}:80`, 1),
    frontend(`${NODE}:30080`, 1, FRONTEND_NODEPORT),
    frontend(`${VIP}:53`, 2, FRONTEND_CLUSTER, PROTO_UDP),
    frontend('10.96.0.99:80', 3),
  ],
});

export interface Outcome {
  /** forward, reply, held, or the name of the drop reason. */
  verdict: string;
  side: number;
  /** The port that it leaves by. */
  out: number;
  frame: Uint8Array;
  packet: Decoded;
}

export interface TestDatapath {
  d: Datapath;
  writer: ImageWriter;
  /** ms; `send` runs at this time. */
  now: number;
  /** P_IN of the packets that `send` sends. */
  port: number;
  send(...frames: Uint8Array[]): Outcome[];
  /** Sends one frame; returns its outcome. */
  one(frame: Uint8Array): Outcome;
  tick(now: number): void;
  counter(name: string): number;
}

const VERDICTS = ['forward', 'reply', 'held', 'probe'];
/** Shared by all: a batch is empty before each send, and its output is copied. */
const BATCH = createBatch();

export function createTestDatapath(
  o: {
    image?: ImageChange | null;
    flowsMax?: number;
    seed?: number;
    arena?: Arena;
    timeouts?: Timeouts;
  } = {},
): TestDatapath {
  const sizes = { flowsMax: o.flowsMax ?? 1024, imageWords: 1 << 18 };
  const arena = o.arena ?? createArena(sizes, 99);
  const d = new Datapath(arena, o.seed ?? 42, o.timeouts);
  const writer = new ImageWriter(arena);
  if (o.image !== null) writer.publish(o.image ?? DEFAULT_IMAGE);
  const b = BATCH;
  const t: TestDatapath = {
    d,
    writer,
    now: 1000,
    port: 0,
    send: (...frames) => {
      b.count = 0;
      for (const frame of frames) {
        b.bytes.set(frame, b.end());
        b.push(frame.length, t.port);
      }
      run(d, b, t.now);
      return Array.from({ length: b.count }, (_, i) => {
        const r = i * P_WORDS;
        const verdict = b.p[r | P_VERDICT]!;
        const start = b.p[r | P_START]!;
        const frame = b.bytes.slice(start, start + b.p[r | P_LENGTH]!);
        return {
          verdict: verdict < 0 ? DROP_REASONS[-verdict]![0] : VERDICTS[verdict]!,
          side: b.p[r | P_SIDE]!,
          out: b.p[r | P_OUT]!,
          frame,
          packet: decode(frame),
        };
      });
    },
    one: (frame) => t.send(frame)[0]!,
    tick: (now) => {
      t.now = now;
      tick(d, now);
    },
    counter: (name) => {
      const drop = DROP_REASONS.findIndex(([n]) => n === name);
      const other = COUNTERS.findIndex(([n]) => n === name);
      if (drop < 0 && other < 0) throw new Error(`no counter ${name}`);
      return arena.counters[drop >= 0 ? drop : COUNTER_BASE + other]!;
    },
  };
  return t;
}
