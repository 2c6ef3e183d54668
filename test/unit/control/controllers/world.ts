// A cluster in memory with its controllers and without a server. Builders fill in all fields that a
// test does not give.

import type { ServedKind } from '../../../../control/apiserver/kind.ts';
import { Store } from '../../../../control/apiserver/store/store.ts';
import { SERVED } from '../../../../control/apiserver/verbs/kinds.ts';
import { Registry } from '../../../../control/apiserver/verbs/registry.ts';
import { type Controllers, startControllers } from '../../../../control/cluster/controllers.ts';
import type { Endpoint } from '../../../../control/controllers/endpoints/desired.ts';
import { isObject, type KubeObject } from '../../../../control/kube/object.ts';
import { FakeClock } from '../../../support/clock.ts';

const RANGES = { serviceRange: '10.96.0.0/16', nodePortMin: 30_000, nodePortMax: 32_767 };

export function kindOf(name: string): ServedKind {
  return SERVED.find(({ kind }) => kind === name)!;
}

export interface World {
  store: Store;
  registry: Registry;
  /** Only the test advances it. */
  clock: FakeClock;
  create(kind: string, object: object, namespace?: string): KubeObject;
  /** Merges into an object. Null removes a field. */
  patch(kind: string, name: string, patch: object): KubeObject;
  patchStatus(kind: string, name: string, status: object): KubeObject;
  /** Deletes at once, or after the object's grace period if `graceful`. */
  remove(kind: string, name: string, options?: { graceful?: boolean }): void;
  get(kind: string, name: string): KubeObject | undefined;
  list(kind: string): KubeObject[];
  idle(): Promise<void>;
  controllers: Controllers;
}

/**
 * A world with the namespace `default`. `prepare` fills it before the controllers start.
 *
 * @param claimsFolder where claims get their folders; null if they get none.
 */
export function startWorld(
  prepare: (world: Omit<World, 'controllers' | 'idle'>) => void = () => {},
  claimsFolder: string | null = null,
) {
  const store = new Store(SERVED);
  const registry = new Registry(store, RANGES);
  const place = (kind: string, name: string) => ({
    namespace: kindOf(kind).namespaced ? 'default' : '',
    name,
  });
  const get = (kind: string, name: string) =>
    store.get(kindOf(kind).plural, place(kind, name).namespace, name);
  const update = (kind: string, name: string, change: object, status: boolean) =>
    registry.update(kindOf(kind), place(kind, name), merge(get(kind, name), change), status);
  const clock = new FakeClock(Date.now());
  const bare = {
    store,
    registry,
    clock,
    get,
    create: (kind: string, object: object, namespace = 'default') =>
      registry.create(kindOf(kind), kindOf(kind).namespaced ? namespace : '', object),
    patch: (kind: string, name: string, patch: object) => update(kind, name, patch, false),
    patchStatus: (kind: string, name: string, status: object) =>
      update(kind, name, { status }, true),
    remove(kind: string, name: string, { graceful = false } = {}) {
      registry.remove(kindOf(kind), place(kind, name), graceful ? {} : { gracePeriodSeconds: 0 });
    },
    list: (kind: string) => store.list(kindOf(kind).plural),
  };
  bare.create('Namespace', { metadata: { name: 'default' } });
  prepare(bare);
  const controllers = startControllers(registry, '198.51.100.0/29', clock, claimsFolder);
  // A test may put other controllers in their place.
  const world: World = { ...bare, controllers, idle: () => world.controllers.idle() };
  return world;
}

function merge(into: unknown, change: unknown): unknown {
  if (!isObject(change)) return change;
  const merged = isObject(into) ? { ...into } : {};
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

export function service(name: string, spec: object = {}, metadata: object = {}): object {
  const base = { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] };
  return { metadata: { name, ...metadata }, spec: { ...base, ...spec } };
}

export function pod(name: string, spec: object = {}, metadata: object = {}): object {
  const containers = [{ name: 'main', image: 'pause' }];
  return {
    metadata: { name, labels: { app: 'web' }, ...metadata },
    spec: { nodeName: 'node1', containers, ...spec },
  };
}

export function node(name: string, labels: object = {}, spec: object = {}): object {
  return { metadata: { name, labels }, spec, status: ready(true) };
}

/** A status with the condition Ready. */
export function ready(isReady: boolean, rest: object = {}): object {
  return { conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }], ...rest };
}

/** The slices of a Service. */
export function slicesOf(world: { list: World['list'] }, name: string): KubeObject[] {
  return world
    .list('EndpointSlice')
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name);
}

export function endpointsOf(slices: KubeObject[]): Endpoint[] {
  return slices.flatMap((slice) => slice.endpoints as Endpoint[]);
}

/** A workload whose pods have the label `app: NAME`. */
export function workload(name: string, spec: object = {}, template: object = {}): object {
  const containers = [{ name: 'main', image: 'pause' }];
  return {
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers, ...template } },
      ...spec,
    },
  };
}

/**
 * Pods with the label `app: NAME` that have not ended and are not in deletion, in the order of
 * their names.
 */
export function activePods(world: { list: World['list'] }, name: string): KubeObject[] {
  return world
    .list('Pod')
    .filter(({ metadata, status }) => {
      const isOver = status.phase === 'Succeeded' || status.phase === 'Failed';
      return metadata.labels?.app === name && !metadata.deletionTimestamp && !isOver;
    })
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** Reasons and messages of the events of an object, the oldest first. */
export function eventsOf(world: { list: World['list'] }, name: string): [string, string][] {
  return world
    .list('Event')
    .filter(({ involvedObject }) => (involvedObject as { name: string }).name === name)
    .map(({ reason, message }) => [String(reason), String(message)]);
}
