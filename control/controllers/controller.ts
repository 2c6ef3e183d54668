// What all controllers have in common.
import type { Place, ServedKind } from '../apiserver/kind.ts';
import { StatusError } from '../apiserver/status.ts';
import type { Store, StoreEvent } from '../apiserver/store/store.ts';
import type { DeleteOptions } from '../apiserver/verbs/deletion.ts';
import { SERVED } from '../apiserver/verbs/kinds.ts';
import type { Registry } from '../apiserver/verbs/registry.ts';
import type { WallClock } from '../clock.ts';
import { type EventClient, EventRecorder } from '../kube/event.ts';
import type { KubeObject } from '../kube/object.ts';
import { WorkQueue } from './queue.ts';

type EventType = 'Normal' | 'Warning';

const KINDS = new Map(SERVED.map((row) => [row.kind, row]));

/** The objects of a server, and the verbs to change them. */
export class Cluster {
  readonly store: Store;
  readonly #registry: Registry;
  readonly clock: WallClock;
  readonly events: EventRecorder;

  constructor(registry: Registry, clock: WallClock) {
    this.store = registry.store;
    this.#registry = registry;
    this.clock = clock;
    const kind = kindNamed('Event');
    const client: EventClient = {
      create: async (_, event) => registry.create(kind, event.metadata.namespace, event),
      patch: async (_, { namespace = '', name }, change) =>
        registry.patch(kind, { namespace, name }, change, false),
    };
    this.events = new EventRecorder(client, clock, (error) => {
      // A terminating namespace accepts no events.
      if (!(error instanceof StatusError)) console.error((error as Error).stack);
    });
  }

  create(kind: string, namespace: string, object: object): KubeObject {
    return this.#registry.create(kindNamed(kind), namespace, object);
  }

  /** Merges a change into an object. */
  patch(object: KubeObject, change: object): KubeObject {
    return this.#registry.patch(kindNamed(object.kind!), placeOf(object), change, false);
  }

  replace(object: KubeObject): KubeObject {
    return this.#registry.update(kindNamed(object.kind!), placeOf(object), object, false);
  }

  writeStatus(object: KubeObject, status: object): KubeObject {
    const changed = { ...object, status };
    return this.#registry.update(kindNamed(object.kind!), placeOf(object), changed, true);
  }

  /** Deletes an object, or starts its deletion. */
  remove(object: KubeObject, options: DeleteOptions = {}): void {
    this.#registry.remove(kindNamed(object.kind!), placeOf(object), options);
  }

  /** Records an event of a component on an object, after the present turn of its controller. */
  record(object: KubeObject, component: string, type: EventType, reason: string, message: string) {
    const { apiVersion, kind, metadata } = object;
    const { namespace, name, uid, resourceVersion } = metadata;
    const about = { apiVersion, kind, namespace, name, uid, resourceVersion };
    this.events.record(about, { type, reason, message, component });
  }

  /** True if a namespace is in deletion. It accepts no new objects. */
  isEnding(namespace: string): boolean {
    return this.store.get('namespaces', '', namespace)?.metadata.deletionTimestamp !== undefined;
  }
}

function kindNamed(name: string): ServedKind {
  return KINDS.get(name)!;
}

function placeOf({ metadata }: KubeObject): Place {
  return { namespace: metadata.namespace ?? '', name: metadata.name };
}

/**
 * A change of an object. For an object that exists when the controller starts, only `object` is
 * set.
 */
export type Change = Partial<StoreEvent> & { object: KubeObject };

/** Brings objects to their wanted state, one key after the other. */
export abstract class Controller {
  /** The keys are mostly `namespace/name` of objects. */
  readonly queue: WorkQueue;
  protected readonly cluster: Cluster;
  readonly #component: string;
  readonly #unsubscribe: (() => void)[] = [];

  /** @param component the name of the controller in its events. */
  constructor(cluster: Cluster, component = '') {
    this.cluster = cluster;
    this.#component = component;
    this.queue = new WorkQueue((key) => this.reconcile(key), cluster.clock);
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.queue.stop();
  }

  protected abstract reconcile(key: string): void;

  protected record(object: KubeObject, type: EventType, reason: string, message: string): void {
    this.cluster.record(object, this.#component, type, reason, message);
  }

  /** Calls back for each object of a kind that exists, then for each change. */
  protected follow(kind: string, onChange: (change: Change) => void): void {
    this.cluster.store.each(kind, (object) => onChange({ object }));
    this.subscribe(kind, onChange);
  }

  /** Calls back for each change of a kind. */
  protected subscribe(kind: string, onChange: (event: StoreEvent) => void): void {
    this.#unsubscribe.push(this.cluster.store.subscribe(kind, onChange));
  }
}
