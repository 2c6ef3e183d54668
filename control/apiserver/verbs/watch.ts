// Watches. Each event becomes text once for all watches.
import type { ServerResponse } from 'node:http';
import type { KubeObject } from '../../kube/object.ts';
import type { ServedKind } from '../kind.ts';
import { gone, StatusError } from '../status.ts';
import type { EventType, Store, StoreEvent } from '../store/store.ts';
import type { Matcher } from './selectors.ts';

export interface WatchOptions {
  kind: ServedKind;
  /** '' for all. */
  namespace: string;
  matches: Matcher;
  /** The resourceVersion of the client. '' and '0' start with the current objects. */
  resourceVersion: string;
  bookmarks: boolean;
  /** Send the current objects first, then a bookmark (KEP-3157). */
  initialEvents: boolean;
  /** The server ends the watch after this time. */
  timeoutS: number;
  /** Formats an object, with whether it is the first. Null sends the object itself. */
  present: ((object: KubeObject, isFirst: boolean) => object) | null;
}

const BOOKMARK_MS = 60_000;
/** Unread bytes of changes after which the server drops a client. The client then lists again. */
const BACKLOG_BYTES_MAX = 32 * 1024 * 1024;

/** Texts of events, by object and type. */
const lines = new WeakMap<KubeObject, Map<string, string>>();

/**
 * Sends events until the client leaves, the time is over or the server ends. Throws StatusError
 * 410.
 */
export function serveWatch(store: Store, options: WatchOptions, response: ServerResponse): void {
  const { kind, resourceVersion } = options;
  const fromNow = resourceVersion === '' || resourceVersion === '0' || options.initialEvents;
  const missed = fromNow ? [] : eventsAfter(store, kind, resourceVersion);
  response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
  response.flushHeaders();
  const watch = new Watch(store, options, response);
  if (fromNow) watch.sendPresent();
  for (const event of missed) watch.send(event);
  watch.follow();
}

function eventsAfter(store: Store, kind: ServedKind, resourceVersion: string): StoreEvent[] {
  const version = Number(resourceVersion);
  if (!Number.isSafeInteger(version)) {
    throw new StatusError(400, 'BadRequest', `invalid resource version ${resourceVersion}`);
  }
  const events = version > store.resourceVersion ? null : store.eventsSince(kind.plural, version);
  // A version above the latest comes from another server: the client must list again.
  if (events === null) throw gone(resourceVersion, store.watchableFrom(kind.plural));
  return events;
}

class Watch {
  readonly #store: Store;
  readonly #options: WatchOptions;
  readonly #response: ServerResponse;
  #isFirst = true;
  /** The initial objects do not count as backlog. */
  #unreadBytesMax = Number.POSITIVE_INFINITY;

  constructor(store: Store, options: WatchOptions, response: ServerResponse) {
    this.#store = store;
    this.#options = options;
    this.#response = response;
  }

  /** Sends all current objects as ADDED events. */
  sendPresent(): void {
    const { kind, namespace, matches, initialEvents, bookmarks } = this.#options;
    for (const object of this.#store.list(kind.plural, namespace || undefined)) {
      if (matches(object)) this.#write('ADDED', object);
    }
    if (initialEvents && bookmarks) this.#bookmark({ 'k8s.io/initial-events-end': 'true' });
  }

  /** Sends an event. An object that leaves the selector is deleted for this watch. */
  send({ type, object, old }: StoreEvent): void {
    const now = type !== 'DELETED' && this.#sees(object);
    const before = old !== undefined && this.#sees(old);
    if (now) this.#write(before ? 'MODIFIED' : 'ADDED', object);
    else if (before) this.#write('DELETED', object);
  }

  follow(): void {
    const { kind, timeoutS, bookmarks } = this.#options;
    const response = this.#response;
    this.#unreadBytesMax = response.writableLength + BACKLOG_BYTES_MAX;
    const unsubscribe = this.#store.subscribe(kind.plural, (event) => this.send(event));
    const timers: NodeJS.Timeout[] = [];
    const leave = () => {
      unsubscribe();
      for (const timer of timers) clearTimeout(timer);
    };
    // Stops before the end: a slow client can keep the response open, and nothing may follow the
    // end.
    timers.push(
      setTimeout(() => {
        leave();
        response.end();
      }, timeoutS * 1000),
    );
    if (bookmarks) timers.push(setInterval(() => this.#bookmark(), BOOKMARK_MS));
    response.on('close', leave);
    if (response.destroyed) leave();
  }

  #sees(object: KubeObject): boolean {
    const { namespace, matches } = this.#options;
    return (namespace === '' || object.metadata.namespace === namespace) && matches(object);
  }

  #write(type: EventType, object: KubeObject): void {
    const { present } = this.#options;
    const line = present
      ? `${JSON.stringify({ type, object: present(object, this.#isFirst) })}\n`
      : lineOf(type, object);
    this.#isFirst = false;
    this.#response.write(line);
    if (this.#response.writableLength > this.#unreadBytesMax) this.#response.destroy();
  }

  #bookmark(annotations?: Record<string, string>): void {
    const { kind } = this.#options;
    const resourceVersion = String(this.#store.resourceVersion);
    const object = {
      kind: kind.kind,
      apiVersion: kind.apiVersion,
      metadata: { resourceVersion, creationTimestamp: null, ...(annotations && { annotations }) },
    };
    this.#response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }
}

function lineOf(type: EventType, object: KubeObject): string {
  const ofObject = lines.get(object) ?? new Map<string, string>();
  lines.set(object, ofObject);
  let line = ofObject.get(type);
  if (line === undefined) {
    line = `${JSON.stringify({ type, object })}\n`;
    ofObject.set(type, line);
  }
  return line;
}
