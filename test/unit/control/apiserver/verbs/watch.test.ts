import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Store } from '../../../../../control/apiserver/store/store.ts';
import { servedAt } from '../../../../../control/apiserver/verbs/kinds.ts';
import { serveWatch } from '../../../../../control/apiserver/verbs/watch.ts';
import type { KubeWatchEvent } from '../../../../../control/kube/client.ts';
import { startInformer } from '../../../../../control/kube/informer.ts';
import type { Pod } from '../../../../../control/kube/kinds.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';
import { pod, startTestApi, type TestApi } from '../../../../support/api-server.ts';

let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

/** Events of a watch until `count` have come. */
async function watch(options: object, count: number, act = async () => {}) {
  const events: KubeWatchEvent<Pod>[] = [];
  const stop = new AbortController();
  const done = new Promise<void>((resolve) => {
    const onEvent = (event: KubeWatchEvent<Pod>) => {
      events.push(event);
      if (events.length === count) resolve();
    };
    const all = { silenceMsMax: 10_000, signal: stop.signal, resourceVersion: '', ...options };
    api.kube.watch('Pod', all, onEvent).catch(() => {});
  });
  await act();
  await done;
  stop.abort();
  return events.map((event) => [event.type, event.object.metadata?.name]);
}

const create = (name: string, over: object = {}) =>
  api.kube.create('Pod', pod(name, over as never, { nodeName: 'node1' }) as Pod);

test('a watch from the version of a list misses no change after the list', async () => {
  const { resourceVersion } = await api.kube.list('Pod');
  await create('w1');
  await create('w2');
  const events = await watch({ resourceVersion }, 3, () => create('w3').then(() => {}));
  assert.deepEqual(events, [
    ['ADDED', 'w1'],
    ['ADDED', 'w2'],
    ['ADDED', 'w3'],
  ]);
});

test('a watch without a version begins with the existing objects', async () => {
  await create('there', { labels: { only: 'there' } });
  assert.deepEqual(await watch({ labelSelector: 'only=there' }, 1), [['ADDED', 'there']]);
});

test('an object that leaves the selector of a watch is DELETED, one that enters is ADDED', async () => {
  const { resourceVersion } = await api.kube.list('Pod');
  const events = await watch({ resourceVersion, labelSelector: 'in=yes' }, 3, async () => {
    await create('mover');
    const name = { namespace: 'default', name: 'mover' };
    await api.kube.patch('Pod', name, { metadata: { labels: { in: 'yes' } } });
    await api.kube.patch('Pod', name, { metadata: { labels: { more: 'x' } } });
    await api.kube.patch('Pod', name, { metadata: { labels: { in: 'no' } } });
  });
  assert.deepEqual(events, [
    ['ADDED', 'mover'],
    ['MODIFIED', 'mover'],
    ['DELETED', 'mover'],
  ]);
});

test('a watch from a resourceVersion of another server is answered with Expired', async () => {
  for (const resourceVersion of ['1', '9007199254740990']) {
    const { code, body } = await api.call(
      'GET',
      `/api/v1/pods?watch=1&resourceVersion=${resourceVersion}`,
    );
    assert.equal(code, 410);
    assert.equal(body.reason, 'Expired');
  }
});

test('the store drops old events, and reports the version from which it has all events', () => {
  const store = new Store([{ plural: 'pods', group: '', kind: 'Pod' }], 100);
  const object = { metadata: { name: 'a', namespace: 'b' } };
  store.create('pods', object);
  for (let i = 0; i < 10_000; i++) store.update('pods', object);
  assert.equal(store.eventsSince('pods', 100), null);
  const from = store.watchableFrom('pods');
  const events = store.eventsSince('pods', from);
  assert.equal(events?.length, store.resourceVersion - from);
  assert.equal(events?.[0]?.version, from + 1);
});

test('the informer of the agent follows the server', async () => {
  const seen = new Map<string, string>();
  let synced = () => {};
  const isSynced = new Promise<void>((resolve) => {
    synced = resolve;
  });
  const informer = startInformer(
    api.kube,
    'Pod',
    {},
    {
      onUpsert: (p: Pod) => void seen.set(p.metadata!.name!, p.metadata!.uid!),
      onDelete: (p: Pod) => void seen.delete(p.metadata!.name!),
      onSynced: () => synced(),
      onSkip: (key, error) => assert.fail(`${key}: ${error.message}`),
    },
  );
  await isSynced;
  await create('followed');
  await api.kube.delete('Pod', { namespace: 'default', name: 'w1' }, { graceS: 0 });
  const wanted = (await api.kube.list('Pod')).items.map((p) => p.metadata!.name!);
  while (seen.size !== wanted.length) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([...seen.keys()].sort(), wanted.sort());
  informer.stop();
});

/** A watch whose client reads nothing. */
function watchUnread(store: Store) {
  const kind = servedAt('v1', 'pods')!;
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const all = { namespace: '', matches: () => true, resourceVersion: '', initialEvents: false };
  const options = { kind, ...all, bookmarks: true, timeoutS: 5, present: null };
  serveWatch(store, options, response);
  return response;
}

function createPods(store: Store, prefix: string, count: number, bytes: number) {
  const annotations = { filler: 'x'.repeat(bytes) };
  for (let i = 0; i < count; i++) {
    const metadata = { name: `${prefix}-${i}`, namespace: 'default', annotations };
    store.create('pods', { metadata } as KubeObject);
  }
}

test('a client with too many unread changes is dropped, whatever the size of the initial list', () => {
  const store = new Store([servedAt('v1', 'pods')!]);
  createPods(store, 'before', 40, 1024 * 1024);
  const response = watchUnread(store);
  createPods(store, 'change', 30, 1024 * 1024);
  assert.equal(response.destroyed, false);
  createPods(store, 'beyond', 3, 1024 * 1024);
  assert.equal(response.destroyed, true);
  response.emit('close');
});

test('a watch writes nothing after its end, even if its client still reads', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const store = new Store([servedAt('v1', 'pods')!]);
  const response = watchUnread(store);
  const errors: Error[] = [];
  response.on('error', (error) => errors.push(error));
  t.mock.timers.tick(5000);
  assert.equal(response.writableEnded, true);
  createPods(store, 'late', 1, 1);
  t.mock.timers.tick(120_000);
  await turn();
  assert.deepEqual(errors, []);
});
