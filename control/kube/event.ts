// Events: the object that every recorder writes, and warnings of agents and readers.
import { createHash } from 'node:crypto';
import type { KubeClient } from './client.ts';
import { KINDS, type KubeKind } from './kinds.ts';
import { timestamp } from './object.ts';

const MESSAGE_CHARS_MAX = 1024;
/** Leaves room for the hash in the name of an event. */
const NAME_CHARS_MAX = 200;

/** The object of an event. */
interface EventObject {
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

interface EventContent {
  type: 'Normal' | 'Warning';
  /** One word in CamelCase. */
  reason: string;
  message: string;
  component: string;
  /** The node of the component, if it has one. */
  host?: string;
}

/**
 * A new Event about an object.
 *
 * @param name its name, or the prefix of a generated name.
 * @param at when it happened, as {@link timestamp} writes it.
 */
export function describeEvent<Name extends { name: string } | { generateName: string }>(
  involvedObject: EventObject,
  { type, reason, message, component, host = '' }: EventContent,
  name: Name,
  at: string,
) {
  return {
    metadata: { namespace: involvedObject.namespace ?? 'default', ...name },
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

/** A Warning event on the object `key`, `[NAMESPACE/]NAME`. */
export interface Warning {
  kind: KubeKind;
  key: string;
  /** One word in CamelCase. */
  reason: string;
  message: string;
  component: string;
  /** As it was read, however little it is one: `kubectl describe` looks for events by the uid. */
  object?: object;
}

/**
 * Writes a Warning event on an object that `component` skipped. One event for each object and
 * reason, however many readers skip it: they give it the same name. Resolves to null, or to the
 * reason why there is no event.
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
 * Writes an event, the same message on an object once: its name follows from both. Resolves to
 * null, or to the reason why there is no event.
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
  const eventName = { name: `${name.slice(0, NAME_CHARS_MAX)}.${hash.slice(0, 16)}` };
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
