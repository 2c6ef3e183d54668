// Sources of datapaths and names for an explanation: a running lab, or files.
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type ArenaFile, attachArenaFile, borrowArenaFile } from '../../datapath/arena/file.ts';
import { KubetunError } from '../../datapath/error.ts';
import { readGeneration } from '../../datapath/image/reader.ts';
import { Prober } from '../../datapath/observe/probe.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import type { KubeClient } from '../kube/client.ts';
import { connectLab } from '../kube/client.ts';
import { readable } from '../kube/decode.ts';
import type { KubeKind, KubeKinds } from '../kube/kinds.ts';
import { CLOUD } from '../places.ts';
import { compileGateway, GatewayView } from './gateway.ts';
import { Names } from './names.ts';
import { type ClusterObjects, compileArena, noObjects, readObjects } from './objects.ts';
import { ClusterView } from './view.ts';

export interface ExplainSource {
  view: ClusterView;
  names: Names;
  /** The datapath of a node, valid until the next call; null without one. */
  prober(node: string): Prober | null;
  /** Refreshes the view of a running cluster if it is old. */
  refresh(): Promise<void>;
}

const SEED_OFFLINE = 1;
/** Age at which borrowed arenas and lists are refreshed. */
const REFRESH_MS = 5000;

/**
 * From files: compiles the datapath of every node, and of a gateway if there are public addresses.
 * The same files give the same answers.
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
  const rangeStart = serviceRange.address;
  return {
    view,
    names: new Names(objects, { rangeStart, machine: null, isWhole: false }),
    prober: remember((node) => {
      const arena = named(node, () => compile(node));
      return arena && new Prober(arena, SEED_OFFLINE);
    }),
    refresh: async () => {},
  };
}

/** Adds the node's name to errors of a compile. */
function named<T>(node: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (error instanceof KubetunError) throw error;
    const message = `the objects do not compile for node ${node} (${(error as Error).message})`;
    const next = 'compare them with the output of kubectl get -o yaml';
    throw new KubetunError('KT_OBJECT', message, next, { cause: error });
  }
}

/**
 * From a lab: borrowed arenas of its agents, and names from its API server.
 *
 * @param arenaOf null for a node without a datapath.
 */
export async function fromLab(
  lab: string,
  arenaOf: (node: string) => string | null,
): Promise<ExplainSource> {
  const borrowed = new Map<string, Borrowed>();
  const cloud = arenaOf(CLOUD);
  const look = () => lookAtLab(lab, cloud !== null && existsSync(cloud));
  let listed = Date.now();
  const source: ExplainSource = {
    ...(await look()),
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
      // While the API server is away, the last names stay.
      Object.assign(source, await look().catch(() => ({})));
    },
  };
  return source;
}

/**
 * A private mapping of an arena. Pages written by this process are frozen, the others change with
 * the datapath. It is valid only while the image in force stays the same, and for a short time.
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

/** Current owners of addresses from a lab's API server. `hasGateway` includes the cloud. */
export async function viewOfLab(lab: string, hasGateway: boolean): Promise<ClusterView> {
  return (await lookAtLab(lab, hasGateway)).view;
}

async function lookAtLab(lab: string, hasGateway: boolean) {
  const objects = await objectsOfLab(lab);
  const view = new ClusterView(objects, hasGateway ? new GatewayView(CLOUD, objects) : null);
  // Nodes of a lab share the resolver of its machine. Every lab has the Service `kubernetes`.
  const machine = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  return { view, names: new Names(objects, { rangeStart: 0, machine, isWhole: true }) };
}

async function listObjects(lab: string, kube: KubeClient): Promise<ClusterObjects> {
  const list = <K extends KubeKind>(kind: K) => listKind(kube, kind);
  const [nodes, pods, services, slices, namespaces, ingress] = await Promise.all([
    list('Node'),
    list('Pod'),
    list('Service'),
    list('EndpointSlice'),
    list('Namespace'),
    listIngress(kube),
  ]);
  // Policies are read from the datapaths.
  return { ...noObjects(), lab, nodes, pods, services, slices, namespaces, ...ingress };
}

async function listKind<K extends KubeKind>(kube: KubeClient, kind: K): Promise<KubeKinds[K][]> {
  return readable(kind, (await kube.list(kind)).items);
}

/** What a compile of Ingresses needs beside Services and EndpointSlices. */
async function listIngress(kube: KubeClient) {
  const list = <K extends KubeKind>(kind: K) => listKind(kube, kind);
  const [ingresses, classes, secrets] = await Promise.all([
    list('Ingress'),
    list('IngressClass'),
    list('Secret'),
  ]);
  return { ingresses, classes, secrets };
}

/** The objects of a running lab. */
export async function objectsOfLab(lab: string): Promise<ClusterObjects> {
  const kube = connectLab(lab);
  try {
    return await listObjects(lab, kube);
  } finally {
    kube.close();
  }
}

function remember(make: (node: string) => Prober | null): (node: string) => Prober | null {
  const made = new Map<string, Prober | null>();
  return (node) => {
    if (!made.has(node)) made.set(node, make(node));
    return made.get(node)!;
  };
}
