// Events: the recorder of controllers and pods, and warnings of agents and readers.
import { createHash, randomBytes } from 'node:crypto';
import type { WallClock } from '../clock.ts';
import type { KubeClient, KubeName } from './client.ts';
import { KINDS, type KubeKind } from './kinds.ts';
import { timestamp } from './object.ts';

const MESSAGE_CHARS_MAX = 1024;
/** Leaves room for the hash in the name of an event. */
const NAME_CHARS_MAX = 200;

/** The object of an event. */
export interface EventObject {
  apiVersion?: string;
  kind?: string;
  /** Absent for cluster-scoped kinds: their events live in `default`. */
  namespace?: string;
  name?: string;
  uid?: string;
  resourceVersion?: string;
  /** The part of the object, such as `spec.containers{main}`. */
  fieldPath?: string;
}

export interface EventContent {
  type: 'Normal' | 'Warning';
  /** One word in CamelCase. */
  reason: string;
  message: string;
  component: string;
  /** The node of the component, if it has one. */
  host?: string;
}

/** A new Event, as of `at`, a {@link timestamp}. */
function describeEvent(
  involvedObject: EventObject,
  { type, reason, message, component, host = '' }: EventContent,
  name: string,
  at: string,
) {
  return {
    metadata: { namespace: involvedObject.namespace ?? 'default', name },
    involvedObject,
    type,
    reason,
    message: message.slice(0, MESSAGE_CHARS_MAX),
    count: 1,
    firstTimestamp: at,
    lastTimestamp: at,
    source: { component, ...(host && { host }) },
    reportingComponent: component,
    reportingInstance: host,
  };
}

/** What writes the events: a client, or the API server itself. */
export interface EventClient {
  create(kind: 'Event', event: ReturnType<typeof describeEvent>): Promise<unknown>;
  patch(kind: 'Event', name: KubeName, change: object): Promise<unknown>;
}

/** Remembered events. A repeated one increments its count. */
const KNOWN_MAX = 4096;
/** Events that wait to be written. Further ones are dropped. */
const WAITING_MAX = 1000;

/** Writes events in their order, one write at a time. Source: client-go, tools/record. */
export class EventRecorder {
  readonly #client: EventClient;
  readonly #clock: WallClock;
  readonly #onFailure: (error: unknown, reason: string) => void;
  /** Ordered by last use. */
  readonly #known = new Map<string, { name: string; count: number }>();
  #writing: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(
    client: EventClient,
    clock: WallClock,
    onFailure: (error: unknown, reason: string) => void,
  ) {
    this.#client = client;
    this.#clock = clock;
    this.#onFailure = onFailure;
  }

  /** Writes an event, or increments the count of an equal one. */
  record(about: EventObject, content: EventContent): void {
    if (this.#waiting >= WAITING_MAX) return;
    const atMs = this.#clock.unixMs();
    this.#waiting++;
    this.#writing = this.#writing
      .then(() => this.#write(about, content, atMs))
      .catch((error: unknown) => this.#onFailure(error, content.reason))
      .finally(() => {
        this.#waiting--;
      });
  }

  /** Resolves when every recorded event is written. */
  flush(): Promise<void> {
    return this.#writing;
  }

  async #write(about: EventObject, content: EventContent, atMs: number): Promise<void> {
    const { namespace = 'default', name = '', uid, fieldPath } = about;
    const key = JSON.stringify([uid, fieldPath, content]);
    const known = this.#known.get(key);
    const at = timestamp(atMs);
    this.#known.delete(key);
    if (known) {
      const count = known.count + 1;
      try {
        const change = { count, lastTimestamp: at };
        await this.#client.patch('Event', { namespace, name: known.name }, change);
        this.#known.set(key, { ...known, count });
        return;
      } catch (error) {
        // The event was removed, so a new one is written.
        if ((error as { reason?: string }).reason !== 'NotFound') throw error;
      }
    }
    const random = randomBytes(4).toString('hex');
    const eventName = `${name.slice(0, NAME_CHARS_MAX)}.${atMs.toString(16)}${random}`;
    await this.#client.create('Event', describeEvent(about, content, eventName, at));
    this.#known.set(key, { name: eventName, count: 1 });
    const [oldest] = this.#known.keys();
    if (this.#known.size > KNOWN_MAX) this.#known.delete(oldest!);
  }
}

/** A Warning event on the object `key`, `[NAMESPACE/]NAME`. */
export interface Warning {
  kind: KubeKind;
  key: string;
  /** One word in CamelCase. */
  reason: string;
  message: string;
  component: string;
  /**
   * The object as it was read, perhaps malformed. Its uid is needed: `kubectl describe` finds
   * events by it.
   */
  object?: object;
}

/**
 * Writes a Warning event on an object that `component` skipped. All readers give the event of an
 * object and reason the same name, so there is only one. Resolves to null, or to the reason why
 * there is no event.
 */
export function recordSkip(
  client: Pick<KubeClient, 'create'>,
  { kind, key, object }: Pick<Warning, 'kind' | 'key' | 'object'>,
  why: string,
  component: string,
): Promise<string | null> {
  const message = `this version of the object is skipped: ${why}`;
  return recordWarning(client, { kind, key, object, reason: 'ObjectSkipped', message, component });
}

/**
 * Writes an event. Its name is a hash of object and message, so each message on an object is
 * written once. Resolves to null, or to the reason why there is no event.
 */
export async function recordWarning(
  client: Pick<KubeClient, 'create'>,
  { kind, key, reason, message, component, object }: Warning,
): Promise<string | null> {
  const [name = '', own] = key.split('/').reverse();
  // The uid in events of nodes is the name: kubelets write it so, and kubectl looks for it.
  const uid = kind === 'Node' ? name : uidOf(object);
  const hash = createHash('sha256').update(`${kind} ${key} ${uid} ${message}`).digest('hex');
  const { apiVersion } = KINDS[kind];
  const about = { apiVersion, kind, name, ...(own && { namespace: own }), ...(uid && { uid }) };
  const eventName = `${name.slice(0, NAME_CHARS_MAX)}.${hash.slice(0, 16)}`;
  const content: EventContent = { type: 'Warning', reason, message, component };
  try {
    await client.create('Event', describeEvent(about, content, eventName, timestamp()) as never);
    return null;
  } catch (error) {
    const refusal = error as { reason?: string; message: string };
    return refusal.reason === 'AlreadyExists' ? null : refusal.message;
  }
}

function uidOf(object: object | undefined): string {
  const { uid } = (object as { metadata?: { uid?: unknown } } | undefined)?.metadata ?? {};
  return typeof uid === 'string' ? uid : '';
}
