// Where an explanation gets its datapaths and names from: a running lab, or files alone.
import { randomInt } from 'node:crypto';
import { borrowArenaFile } from '../../datapath/arena/file.ts';
import { Prober } from '../../datapath/observe/probe.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import type { KubeKind } from '../kube/kinds.ts';
import { type ClusterObjects, compileArena, noObjects, readObjects } from './objects.ts';
import { ClusterView } from './view.ts';

export interface ExplainSource {
  view: ClusterView;
  /** The datapath of a node; null if it has none. */
  prober(node: string): Prober | null;
}

const SEED_OFFLINE = 1;

/** From files: every node's datapath is compiled from them. The same files give the same answers. */
export function fromFiles(paths: string[], serviceRange: string): ExplainSource {
  const objects = readObjects(paths);
  const range = parseRange(serviceRange)!;
  const view = new ClusterView(objects);
  return {
    view,
    prober: remember((node) => {
      const arena = compileArena(node, objects, range, SEED_OFFLINE);
      return arena && new Prober(arena, SEED_OFFLINE);
    }),
  };
}

/**
 * From a lab: the memory of its agents, borrowed, and the names that its API server has.
 *
 * @param arenaOf null for a node that has no datapath.
 */
export async function fromLab(
  kubeconfig: string,
  arenaOf: (node: string) => string | null,
): Promise<ExplainSource> {
  return {
    view: await viewOfLab(kubeconfig),
    prober: remember((node) => {
      const path = arenaOf(node);
      if (path === null) return null;
      const { arena } = borrowArenaFile(path);
      return new Prober(arena, randomInt(1, 2 ** 31));
    }),
  };
}

/** The names that a lab's API server has at this moment. */
export async function viewOfLab(kubeconfig: string): Promise<ClusterView> {
  const kube = connectKube(kubeconfig);
  try {
    return new ClusterView(await listObjects(kube));
  } finally {
    kube.close();
  }
}

async function listObjects(kube: KubeClient): Promise<ClusterObjects> {
  const list = async <K extends KubeKind>(kind: K) => (await kube.list(kind)).items;
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
