// Where an explanation gets its datapaths and names from: a running lab, or files alone.
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type ArenaFile, attachArenaFile, borrowArenaFile } from '../../datapath/arena/file.ts';
import { KubetunError } from '../../datapath/error.ts';
import { readGeneration } from '../../datapath/image/reader.ts';
import { Prober } from '../../datapath/observe/probe.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import type { KubeClient } from '../kube/client.ts';
import { connectLab } from '../kube/client.ts';
import { readable } from '../kube/decode.ts';
import type { KubeKind } from '../kube/kinds.ts';
import { CLOUD } from '../places.ts';
import { compileGateway, GatewayView } from './gateway.ts';
import { type ClusterObjects, compileArena, noObjects, readObjects } from './objects.ts';
import { ClusterView } from './view.ts';

export interface ExplainSource {
  view: ClusterView;
  /** The datapath of a node, good until it is asked for again; null if it has none. */
  prober(node: string): Prober | null;
  /** Looks again at a cluster that goes on, some time after the last look. */
  refresh(): Promise<void>;
}

const SEED_OFFLINE = 1;
/** What was borrowed or listed is looked at anew after so long. */
const REFRESH_MS = 5000;

/**
 * From files: every node's datapath is compiled from them, and a gateway's if somebody has an
 * address outside. The same files give the same answers.
 */
export function fromFiles(
  paths: string[],
  ranges: { services: string; public: string },
): ExplainSource {
  const objects = readObjects(paths);
  const serviceRange = parseRange(ranges.services)!;
  const gateway = new GatewayView(CLOUD, objects);
  const view = new ClusterView(objects, gateway.isNeeded ? gateway : null);
  const compile = (node: string) =>
    node === view.gateway?.name
      ? compileGateway(node, objects, ranges.public, SEED_OFFLINE)
      : compileArena(node, objects, serviceRange, SEED_OFFLINE);
  return {
    view,
    prober: remember((node) => {
      const arena = named(node, () => compile(node));
      return arena && new Prober(arena, SEED_OFFLINE);
    }),
    refresh: async () => {},
  };
}

/** Says of which node it is that the objects make no sense. */
function named<T>(node: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (error instanceof KubetunError) throw error;
    const message = `the objects make no image for node ${node} (${(error as Error).message})`;
    const next = 'compare them with what kubectl get -o yaml prints';
    throw new KubetunError('KT_OBJECT', message, next, { cause: error });
  }
}

/**
 * From a lab: the memory of its agents, borrowed, and the names that its API server has.
 *
 * @param arenaOf null for a node that has no datapath.
 */
export async function fromLab(
  lab: string,
  arenaOf: (node: string) => string | null,
): Promise<ExplainSource> {
  const borrowed = new Map<string, Borrowed>();
  const cloud = arenaOf(CLOUD);
  const look = () => viewOfLab(lab, cloud !== null && existsSync(cloud));
  let listed = Date.now();
  const source: ExplainSource = {
    view: await look(),
    prober: (node) => {
      const before = borrowed.get(node);
      if (before?.isCurrent()) return before.prober;
      before?.close();
      borrowed.delete(node);
      const path = arenaOf(node);
      const now = path === null ? null : borrow(path);
      if (now) borrowed.set(node, now);
      return now?.prober ?? null;
    },
    refresh: async () => {
      if (Date.now() - listed < REFRESH_MS) return;
      listed = Date.now();
      // Without its API server the lab has the names that it had.
      source.view = await look().catch(() => source.view);
    },
  };
  return source;
}

/**
 * A datapath that was borrowed: the pages that were written to are as they were then, the others go
 * on. So it holds only as long as the image that was in force, whose memory is used again later,
 * and not for long.
 */
interface Borrowed {
  prober: Prober;
  isCurrent(): boolean;
  close(): void;
}

function borrow(path: string): Borrowed | null {
  const files: ArenaFile[] = [];
  try {
    const live = attachArenaFile(path);
    files.push(live);
    const generation = readGeneration(live.arena);
    const own = borrowArenaFile(path);
    files.push(own);
    const until = Date.now() + REFRESH_MS;
    return {
      prober: new Prober(own.arena, randomInt(1, 2 ** 31)),
      isCurrent: () => readGeneration(live.arena) === generation && Date.now() < until,
      close: () => files.forEach((file) => void file.close()),
    };
  } catch (error) {
    for (const file of files) file.close();
    if (error instanceof KubetunError && error.code === 'KT_ARENA_ABSENT') return null;
    throw error;
  }
}

/**
 * The names that a lab's API server has at this moment; `hasGateway` if there is one whose datapath
 * may be asked.
 */
export async function viewOfLab(lab: string, hasGateway: boolean): Promise<ClusterView> {
  const kube = connectLab(lab);
  try {
    const objects = await listObjects(kube);
    return new ClusterView(objects, hasGateway ? new GatewayView(CLOUD, objects) : null);
  } finally {
    kube.close();
  }
}

async function listObjects(kube: KubeClient): Promise<ClusterObjects> {
  const list = async <K extends KubeKind>(kind: K) => readable(kind, (await kube.list(kind)).items);
  const [nodes, pods, services, slices] = await Promise.all([
    list('Node'),
    list('Pod'),
    list('Service'),
    list('EndpointSlice'),
  ]);
  // Policies are read from the datapaths, which have them in force.
  return { ...noObjects(), nodes, pods, services, slices };
}

function remember(make: (node: string) => Prober | null): (node: string) => Prober | null {
  const made = new Map<string, Prober | null>();
  return (node) => {
    if (!made.has(node)) made.set(node, make(node));
    return made.get(node)!;
  };
}
