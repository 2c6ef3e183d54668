// Where an explanation gets its datapaths and names from: a running lab, or files alone.
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { borrowArenaFile } from '../../datapath/arena/file.ts';
import { Prober } from '../../datapath/observe/probe.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import { CLOUD } from '../cli/options.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import type { KubeKind } from '../kube/kinds.ts';
import { compileGateway, GatewayView } from './gateway.ts';
import { type ClusterObjects, compileArena, noObjects, readObjects } from './objects.ts';
import { ClusterView } from './view.ts';

export interface ExplainSource {
  view: ClusterView;
  /** The datapath of a node; null if it has none. */
  prober(node: string): Prober | null;
}

const SEED_OFFLINE = 1;

/**
 * From files: every node's datapath is compiled from them, and a gateway's if somebody has an address outside. The same
 * files give the same answers.
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
      const arena = compile(node);
      return arena && new Prober(arena, SEED_OFFLINE);
    }),
  };
}

/**
 * From a lab: the memory of its agents, borrowed, and the names that its API server has.
 */
export async function fromLab(
  kubeconfig: string,
  arenaOf: (node: string) => string,
): Promise<ExplainSource> {
  return {
    view: await viewOfLab(kubeconfig, existsSync(arenaOf(CLOUD))),
    prober: remember((node) => {
      const { arena } = borrowArenaFile(arenaOf(node));
      return new Prober(arena, randomInt(1, 2 ** 31));
    }),
  };
}

/** The names that a lab's API server has at this moment; `hasGateway` if there is one whose datapath may be asked. */
export async function viewOfLab(kubeconfig: string, hasGateway: boolean): Promise<ClusterView> {
  const kube = connectKube(kubeconfig);
  try {
    const objects = await listObjects(kube);
    return new ClusterView(objects, hasGateway ? new GatewayView(CLOUD, objects) : null);
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
