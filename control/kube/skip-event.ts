// Shows on an object what an agent or a reader made of it.
import { createHash } from 'node:crypto';
import type { KubeClient } from './client.ts';
import { KINDS, type KubeKind } from './kinds.ts';

const MESSAGE_CHARS_MAX = 1024;

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
  // Events of objects without a namespace live in `default`.
  const namespace = own ?? 'default';
  // Of nodes kubelets give the name, and kubectl asks for it.
  const uid = kind === 'Node' ? name : uidOf(object);
  const hash = createHash('sha256')
    .update(`${kind} ${key} ${uid} ${message}`)
    .digest('hex')
    .slice(0, 16);
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const { apiVersion } = KINDS[kind];
  try {
    await client.create('Event', {
      metadata: { namespace, name: `${name}.${hash}` },
      involvedObject: {
        apiVersion,
        kind,
        name,
        ...(own && { namespace: own }),
        ...(uid && { uid }),
      },
      type: 'Warning',
      reason,
      message: message.slice(0, MESSAGE_CHARS_MAX),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component },
    } as never);
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
