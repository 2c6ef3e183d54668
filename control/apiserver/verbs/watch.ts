// Watches: a list that goes on. Events are turned into text once, for all who watch.
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
  /** What the client asked for: '' and '0' begin with what is there. */
  resourceVersion: string;
  bookmarks: boolean;
  /** Send what is there first, and a bookmark at its end (KEP-3157). */
  initialEvents: boolean;
  /** The server ends the watch by itself after this time. */
  timeoutS: number;
  /** What to send for an object, given whether it is the first; null sends the object itself. */
  present: ((object: KubeObject, isFirst: boolean) => object) | null;
}

const BOOKMARK_MS = 60_000;
/** What a client may leave unread of changes before it is let go: it lists again. */
const BACKLOG_BYTES_MAX = 32 * 1024 * 1024;

/** Text of an event, made when the first watch needs it. */
const lines = new WeakMap<KubeObject, Map<string, string>>();

/**
 * Answers with events until the client goes, the time is over or the server ends. Throws
 * StatusError 410.
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
  // A version that this store never gave out is another server's: the client has to begin again as
  // well.
  if (events === null) throw gone(resourceVersion, store.watchableFrom(kind.plural));
  return events;
}

class Watch {
  readonly #store: Store;
  readonly #options: WatchOptions;
  readonly #response: ServerResponse;
  #isFirst = true;
  /** What was there at the beginning is no backlog, however much it is. */
  #unreadBytesMax = Number.POSITIVE_INFINITY;

  constructor(store: Store, options: WatchOptions, response: ServerResponse) {
    this.#store = store;
    this.#options = options;
    this.#response = response;
  }

  /** Everything that is there as ADDED events. */
  sendPresent(): void {
    const { kind, namespace, matches, initialEvents, bookmarks } = this.#options;
    for (const object of this.#store.list(kind.plural, namespace || undefined)) {
      if (matches(object)) this.#write('ADDED', object);
    }
    if (initialEvents && bookmarks) this.#bookmark({ 'k8s.io/initial-events-end': 'true' });
  }

  /** An event as this watch sees it: what leaves its selector is deleted to it. */
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
    // Nothing may be written after the end: a slow client keeps the response open for as long as it
    // likes.
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
