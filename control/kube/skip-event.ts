// Shows on an object that a reader skipped it.
import { createHash } from 'node:crypto';
import type { KubeClient } from './client.ts';
import { KINDS, type KubeKind } from './kinds.ts';

const MESSAGE_CHARS_MAX = 1024;

/**
 * Writes a Warning event on an object that `component` skipped. One event for each object and reason, however many
 * readers skip it: they give it the same name. Resolves to null, or to the reason why there is no event.
 */
export async function recordSkip(
  client: KubeClient,
  kind: KubeKind,
  key: string,
  why: string,
  component: string,
): Promise<string | null> {
  const [name = '', own] = key.split('/').reverse();
  // Events of objects without a namespace live in `default`.
  const namespace = own ?? 'default';
  const hash = createHash('sha256').update(`${kind} ${key} ${why}`).digest('hex').slice(0, 16);
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const { apiVersion } = KINDS[kind];
  try {
    await client.create('Event', {
      metadata: { namespace, name: `${name}.${hash}` },
      involvedObject: { apiVersion, kind, name, ...(own && { namespace: own }) },
      type: 'Warning',
      reason: 'ObjectSkipped',
      message: `this version of the object is skipped: ${why}`.slice(0, MESSAGE_CHARS_MAX),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component },
    } as never);
    return null;
  } catch (error) {
    const { reason, message } = error as { reason?: string; message: string };
    return reason === 'AlreadyExists' ? null : message;
  }
}
