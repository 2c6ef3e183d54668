// All objects of a cluster in memory, with one version counter and the latest events of each kind.

import { type KubeObject, keyOf, type ObjectMeta } from '../../kube/object.ts';
import {
  alreadyExists,
  conflict,
  journalUnwritable,
  MODIFIED,
  notFound,
  preconditionFailed,
  type ResourceName,
} from '../status.ts';
import type { Journal, PastWrite } from './journal.ts';

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/**
 * A change of one object. `old` is the object before it. `object` is the new one, or the last one
 * of a deleted object.
 */
export interface StoreEvent {
  type: EventType;
  object: KubeObject;
  old?: KubeObject;
  version: number;
}

type Subscriber = (event: StoreEvent) => void;

/** Called for an object on which a reader fails. */
export type OnSkip = (kind: string, object: KubeObject, error: Error) => void;

const EVENTS_KEPT_DEFAULT = 8192;

/** Objects of one kind. */
class Shelf {
  readonly resource: ResourceName;
  readonly objects = new Map<string, KubeObject>();
  readonly subscribers = new Set<Subscriber>();
  /** The latest changes, oldest first. */
  events: StoreEvent[] = [];
  /** A watch can continue from this version or any later one. */
  watchableFrom: number;

  constructor(resource: ResourceName, version: number) {
    this.resource = resource;
    this.watchableFrom = version;
  }
}

/**
 * Objects by kind (its plural name), namespace ('' if cluster-scoped) and name. Stored objects
 * never change: a write stores another object. A write calls its subscribers before it returns.
 */
export class Store {
  readonly #shelves = new Map<string, Shelf>();
  readonly #journal: Journal | null;
  readonly #eventsKept: number;
  #version: number;
  /** By default it logs. */
  onSkip: OnSkip = (kind, { metadata }, { stack }) => {
    console.error(`API server: ${kind} ${keyOf({ metadata })}: ${stack}`);
  };

  /**
   * @param version the first version. A store without a journal must start above all versions of an
   *   earlier one, so that clients with an old version list again. The default is the time in
   *   microseconds.
   * @param journal the journal for writes, and the initial contents. Versions continue from its
   *   last one. Watches can continue from as far back as it has every write.
   * @param eventsKept the number of changes of a kind by which a watch can lag. A watch further
   *   behind must list again (410).
   */
  constructor(
    resources: ResourceName[],
    version: number = Date.now() * 1000,
    journal: Journal | null = null,
    eventsKept = EVENTS_KEPT_DEFAULT,
  ) {
    this.#eventsKept = eventsKept;
    const restored = journal?.restore();
    this.#journal = journal;
    this.#version = restored?.version ?? version;
    for (const resource of resources) {
      const watchableFrom = restored?.since ?? this.#version;
      this.#shelves.set(resource.plural, new Shelf(resource, watchableFrom));
    }
    for (const { kind, object } of restored?.objects ?? []) {
      this.#shelves.get(kind)?.objects.set(keyOf(object), object);
    }
    for (const write of restored?.writes ?? []) {
      const shelf = this.#shelves.get(write.kind);
      if (shelf) remember(shelf, eventOf(write), this.#eventsKept);
    }
  }

  /** Version of the latest change of any object. */
  get resourceVersion(): number {
    return this.#version;
  }

  /** All objects of a kind, or those of one namespace, in no particular order. */
  list(kind: string, namespace?: string): KubeObject[] {
    const all = [...this.#shelf(kind).objects.values()];
    return namespace ? all.filter((o) => o.metadata.namespace === namespace) : all;
  }

  /**
   * The objects of a kind as they were at an earlier version; null if too many changes followed.
   */
  listAt(kind: string, version: number, namespace?: string): KubeObject[] | null {
    const events = this.eventsSince(kind, version);
    if (!events) return null;
    const objects = new Map(this.#shelf(kind).objects);
    for (const { type, object, old } of events.reverse()) {
      const key = keyOf(object);
      if (type === 'ADDED') objects.delete(key);
      else objects.set(key, old!);
    }
    const all = [...objects.values()];
    return namespace ? all.filter((o) => o.metadata.namespace === namespace) : all;
  }

  get(kind: string, namespace: string, name: string): KubeObject | undefined {
    return this.at(kind, keyOf({ metadata: { namespace, name } }));
  }

  /** The object with a key: `namespace/name`. */
  at(kind: string, key: string): KubeObject | undefined {
    return this.#shelf(kind).objects.get(key);
  }

  /** Returns the stored object, with its version. Throws StatusError AlreadyExists. */
  create(kind: string, object: KubeObject): KubeObject {
    const shelf = this.#shelf(kind);
    const key = keyOf(object);
    if (shelf.objects.has(key)) throw alreadyExists(shelf.resource, object.metadata.name);
    return this.#write(shelf, key, 'ADDED', object);
  }

  /**
   * Throws StatusError NotFound, or Conflict if `object` has another resourceVersion or uid than
   * the stored one.
   */
  update(kind: string, object: KubeObject): KubeObject {
    const shelf = this.#shelf(kind);
    const key = keyOf(object);
    const { name, resourceVersion, uid } = object.metadata;
    const old = shelf.objects.get(key);
    if (!old) throw notFound(shelf.resource, name);
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) {
      throw conflict(shelf.resource, name, MODIFIED);
    }
    if (uid && uid !== old.metadata.uid) {
      throw preconditionFailed(shelf.resource, name, ['UID', uid, old.metadata.uid]);
    }
    return this.#write(shelf, key, 'MODIFIED', object, old);
  }

  /** Removes an object. Undefined if it did not exist. */
  remove(kind: string, namespace: string, name: string): KubeObject | undefined {
    const shelf = this.#shelf(kind);
    const key = keyOf({ metadata: { namespace, name } });
    const old = shelf.objects.get(key);
    return old && this.#write(shelf, key, 'DELETED', old, old);
  }

  /**
   * Calls a reader for every object of a kind. If it throws, the store reports that object and goes
   * on with the next.
   */
  each(kind: string, read: (object: KubeObject) => void): void {
    for (const object of this.list(kind)) this.#guard(kind, object, () => read(object));
  }

  /**
   * Calls the subscriber after each change of a kind, in order. The returned function unsubscribes.
   */
  subscribe(kind: string, subscriber: Subscriber): () => void {
    const { subscribers } = this.#shelf(kind);
    subscribers.add(subscriber);
    return () => subscribers.delete(subscriber);
  }

  /**
   * Changes of a kind after a version, oldest first. Null if the store no longer has all of them.
   */
  eventsSince(kind: string, version: number): StoreEvent[] | null {
    const { events, watchableFrom } = this.#shelf(kind);
    if (version < watchableFrom) return null;
    return events.slice(firstAfter(events, version));
  }

  /** The oldest version from which a watch of a kind can continue. */
  watchableFrom(kind: string): number {
    return this.#shelf(kind).watchableFrom;
  }

  #shelf(kind: string): Shelf {
    const shelf = this.#shelves.get(kind);
    if (!shelf) throw new Error(`the store has no kind ${kind}`);
    return shelf;
  }

  /** Throws StatusError 507 or 500 if the journal cannot be written. Then nothing has changed. */
  #keep(kind: string, key: string, version: number, object: KubeObject | null): void {
    try {
      this.#journal?.append(kind, key, version, object);
    } catch (error) {
      throw journalUnwritable(error as NodeJS.ErrnoException);
    }
  }

  #write(
    shelf: Shelf,
    key: string,
    type: EventType,
    given: KubeObject,
    old?: KubeObject,
  ): KubeObject {
    const version = this.#version + 1;
    const object = withVersion(given, version);
    // The journal comes first: an acknowledged write must outlive this process.
    this.#keep(shelf.resource.plural, key, version, type === 'DELETED' ? null : object);
    this.#version = version;
    if (type === 'DELETED') shelf.objects.delete(key);
    else shelf.objects.set(key, object);
    const event: StoreEvent = { type, object, ...(old && { old }), version };
    remember(shelf, event, this.#eventsKept);
    // The write is done. An error of a subscriber must not fail it.
    for (const subscriber of shelf.subscribers) {
      this.#guard(shelf.resource.plural, object, () => subscriber(event));
    }
    return object;
  }

  #guard(kind: string, object: KubeObject, read: () => void): void {
    try {
      read();
    } catch (error) {
      this.onSkip(kind, object, error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** The event of a write. A deleted object has the version of its deletion. */
function eventOf({ version, old, object }: PastWrite): StoreEvent {
  if (object && !old) return { type: 'ADDED', object, version };
  if (object && old) return { type: 'MODIFIED', object, old, version };
  const last = withVersion(old!, version);
  return { type: 'DELETED', object: last, old: old!, version };
}

function withVersion(object: KubeObject, version: number): KubeObject {
  const metadata: ObjectMeta = { ...object.metadata, resourceVersion: String(version) };
  return { ...object, metadata };
}

/** Drops half of the events at once, which costs little per change. */
function remember(shelf: Shelf, event: StoreEvent, eventsKept: number): void {
  shelf.events.push(event);
  if (shelf.events.length <= eventsKept) return;
  const forgotten = eventsKept >> 1;
  shelf.watchableFrom = shelf.events[forgotten - 1]!.version;
  shelf.events = shelf.events.slice(forgotten);
}

/** Index of the first event after a version. */
function firstAfter(events: StoreEvent[], version: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle]!.version <= version) low = middle + 1;
    else high = middle;
  }
  return low;
}
