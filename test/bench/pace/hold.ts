// Measures how long packets wait during an image change: in memory, with the worker's code.
import { ARENA_SIZES_DEFAULT } from '../../../datapath/arena/arena.ts';
import { mapArena } from '../../../datapath/arena/file.ts';
import { FRONTEND_CLUSTER, type ServiceEntry } from '../../../datapath/image/image.ts';
import { ImageWriter } from '../../../datapath/image/writer.ts';
import { ServiceMap } from '../../../datapath/services/service-map.ts';
import { parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { PROTO_TCP } from '../../../datapath/wire/ipv4.ts';
import { ENDPOINTS } from './cluster.ts';
import { addPercentiles, type Figures } from './figures.ts';

/** Enough to fill half of the image, so that full rewrites are included. */
const PUBLISHES = 1000;
const FLOWS = 1024;
const EMPTY = new Int32Array(0);
const address = (text: string) => parseAddress(text)!;

/** Publishes each change and switches to it. */
export function measureHold(services: number, figures: Figures): void {
  const arena = mapArena({ ...ARENA_SIZES_DEFAULT, flowsMax: FLOWS }, 1);
  const writer = new ImageWriter(arena);
  const map = new ServiceMap(arena);
  writer.publish(everything(services));
  map.refresh();
  const times: number[] = [];
  for (let turn = 0; turn < PUBLISHES; turn++) {
    const upsert = [service(turn % services, turn)];
    writer.publish({ node: null, upsert, remove: [], addFrontends: [], removeFrontends: [] });
    const begun = process.hrtime.bigint();
    map.refresh();
    times.push(Number(process.hrtime.bigint() - begun) / 1e6);
  }
  addPercentiles(figures, 'worker takes an image over', times);
}

function everything(services: number) {
  const all = Array.from({ length: services }, (_, i) => i);
  return {
    node: {
      nodeAddress: address('172.18.0.11'),
      nodeAddresses: [address('172.18.0.11')],
      podRanges: [parseRange('10.244.0.0/16')!],
      serviceRange: parseRange('10.96.0.0/16')!,
      ...{ snatPortMin: 40_000, snatPortMax: 65_534 },
    },
    upsert: all.map((i) => service(i, 0)),
    remove: [],
    addFrontends: all.map((i) => ({
      ...{ address: address('10.96.0.10') + i, port: 80, proto: PROTO_TCP },
      ...{ kind: FRONTEND_CLUSTER, serviceId: i + 1 },
    })),
    removeFrontends: [],
  };
}

function service(i: number, turn: number): ServiceEntry {
  const cluster = new Int32Array(ENDPOINTS * 2);
  for (let n = 0; n < ENDPOINTS; n++) {
    cluster[n * 2] = address('10.245.0.1') + i + n + turn;
    cluster[n * 2 + 1] = 8080;
  }
  const about = { flags: 0, affinityS: 0, local: EMPTY, sourceRanges: EMPTY, serving: EMPTY };
  return { id: i + 1, name: `default/s${i}:80`, proto: PROTO_TCP, cluster, ...about };
}
