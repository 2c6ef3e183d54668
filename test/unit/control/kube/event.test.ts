import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '../../../../control/kube/client.ts';
import { recordSkip } from '../../../../control/kube/event.ts';
import type { KubeKind } from '../../../../control/kube/kinds.ts';

/** The Event about an object of a kind. */
async function eventOn(kind: KubeKind, key: string, object: object) {
  const written: { metadata: { name: string }; involvedObject: object }[] = [];
  const create = async (_kind: string, event: never) => void written.push(event);
  const client = { create } as unknown as Pick<KubeClient, 'create'>;
  assert.equal(await recordSkip(client, { kind, key, object }, 'why', 'test'), null);
  return written[0]!;
}

test('an event about a skipped object has the uid by which kubectl describe finds it', async () => {
  const { involvedObject } = await eventOn('Pod', 'a/b', { metadata: { uid: 'u1' } });
  assert.deepEqual(involvedObject, {
    ...{ apiVersion: 'v1', kind: 'Pod', name: 'b', namespace: 'a', uid: 'u1' },
  });
  const node = await eventOn('Node', 'n', { metadata: { uid: 'u2' } });
  assert.deepEqual(node.involvedObject, { apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'n' });
});

test('another object of the same name has another event, and one without a uid has one', async () => {
  const name = async (object: object) => (await eventOn('Pod', 'a/b', object)).metadata.name;
  const first = await name({ metadata: { uid: 'u1' } });
  assert.equal(await name({ metadata: { uid: 'u1' } }), first);
  assert.notEqual(await name({ metadata: { uid: 'u2' } }), first);
  for (const odd of [{}, { metadata: null }, { metadata: { uid: 7 } }]) await name(odd);
});
