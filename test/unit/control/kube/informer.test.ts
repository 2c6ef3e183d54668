import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { connectKube, type KubeClient } from '../../../../control/kube/client.ts';
import {
  type Informer,
  type InformerPacing,
  startInformer,
} from '../../../../control/kube/informer.ts';
import { FakeApi, until } from './fake-api.ts';

interface Row {
  name: string;
  uid: string;
  value: number;
}

let api: FakeApi;
let client: KubeClient;
let informer: Informer<Row> | null;
/** The calls of the handlers, and the objects that follow from them. */
let told: string[];
let mirror: Map<string, Row>;
let synced: number;
let errors: number[];
let skips: string[];
/** The expected handlers of a test. By default no object may be skipped. */
let skipsExpected: RegExp[];

beforeEach(async () => {
  api = await FakeApi.start();
  client = connectKube(api.kubeconfig);
  informer = null;
  told = [];
  mirror = new Map();
  synced = 0;
  errors = [];
  skips = [];
  skipsExpected = [];
});

afterEach(async () => {
  informer?.stop();
  client.close();

  await api.stop();
  assert.equal(skips.length, skipsExpected.length, skips.join());
  for (const [i, expected] of skipsExpected.entries()) assert.match(skips[i]!, expected);
});

function start(pacing: Partial<InformerPacing> = {}): void {
  informer = startInformer<'ConfigMap', Row>(
    client,
    'ConfigMap',
    {
      pacing: { backoffMsMin: 2, backoffMsMax: 20, ...pacing },
      compact: (object) => ({
        name: object.metadata?.name ?? '',
        uid: object.metadata?.uid ?? '',
        value: Number(object.data?.value),
      }),
    },
    {
      onUpsert: (row, before, key) => {
        assert.deepEqual(before, mirror.get(key) ?? null, 'before is the last delivered row');
        if (before) assert.equal(before.uid, row.uid, 'one incarnation at a time');
        mirror.set(key, row);
        told.push(`${row.name}=${row.value}`);
      },
      onDelete: (row, key) => {
        assert.deepEqual(row, mirror.get(key), 'only a delivered row is deleted');
        mirror.delete(key);
        told.push(`-${row.name}`);
      },
      onSynced: () => synced++,
      onError: (_error, retryMs) => errors.push(retryMs),
      onSkip: (key, error) => skips.push(`${key}: ${error.message}`),
    },
  );
}

function pictureIsTrue(): boolean {
  const truth = [...api.objects.values()].map((o) => `${o.metadata.uid}:${o.data.value}`).sort();
  const seen = [...mirror.values()].map((r) => `${r.uid}:${r.value}`).sort();
  return truth.join() === seen.join();
}

function lists(): number {
  return api.requests.filter((r) => !r.includes('watch=')).length;
}

test('existing objects come in pages before synced, then every change in order', async () => {
  api.pageMax = 3;
  for (let i = 0; i < 7; i++) api.put(`o${i}`, i);
  start();
  await until('synced', () => synced === 1 && api.watching === 1);
  assert.equal(mirror.size, 7);
  assert.equal(lists(), 3);
  api.put('o1', 100);
  api.remove('o2');
  api.put('new', 5);
  await until('the rows equal the server objects', pictureIsTrue);
  assert.deepEqual(told.slice(7), ['o1=100', '-o2', 'new=5']);
  assert.deepEqual([...(informer?.rows() ?? [])].length, 7);
  assert.equal(informer?.get('default/new')?.value, 5);
});

test('every change comes exactly once through disconnects, without a second list', async () => {
  start();
  await until('watching', () => api.watching === 1);
  const expected: string[] = [];
  for (let i = 0; i < 60; i++) {
    const name = `o${i % 5}`;
    if (i % 7 === 6 && api.objects.has(name)) {
      api.remove(name);
      expected.push(`-${name}`);
    } else {
      api.put(name, i);
      expected.push(`${name}=${i}`);
    }
    if (i % 4 === 3) api.cut();
    if (i % 9 === 8) await until('watching', () => api.watching === 1);
  }
  await until('every change is delivered', () => told.length >= expected.length);
  assert.deepEqual(told, expected);
  assert.equal(lists(), 1);
});

for (const byEvent of [false, true]) {
  const how = byEvent ? 'an ERROR event' : 'status 410';
  test(`an expired version (${how}) costs one list, and handlers get only differences`, async () => {
    api.expireByEvent = byEvent;
    for (const name of ['same', 'changed', 'gone', 'reborn']) api.put(name, 1);
    start();
    await until('watching', () => api.watching === 1);
    told.length = 0;
    api.cut();
    api.put('changed', 2);
    api.remove('gone');
    api.remove('reborn');
    api.put('reborn', 3);
    api.put('added', 4);
    api.expire();
    await until('watching again', () => api.watching === 1);
    assert.ok(pictureIsTrue());
    assert.deepEqual(told.sort(), ['-gone', '-reborn', 'added=4', 'changed=2', 'reborn=3']);
    assert.equal(lists(), 2);
    assert.equal(synced, 1);
  });
}

test('an expired version after an outage is listed at once; a second one backs off', async () => {
  api.put('a', 1);
  start({ backoffMsMin: 4, random: () => 1 });
  await until('watching', () => api.watching === 1);
  api.refusals.push(503, 503, 410, 410);
  api.cut();
  await until('watching again', () => api.watching === 1 && errors.length >= 5);
  assert.deepEqual(errors.slice(-4), [8, 16, 0, 20]);
});

test('a bookmark updates the version, so that a quiet watch does not expire', async () => {
  api.put('a', 1);
  start();
  await until('watching', () => api.watching === 1);
  api.bookmark();
  api.expire();
  api.put('b', 2);
  await until('b is told', () => mirror.has('default/b'));
  api.cut();
  await until('watching again', () => api.watching === 1);
  assert.equal(lists(), 1);
});

test('a silent watch is renewed without a list', async () => {
  start({ silenceMsMax: 30 });
  const watches = () => api.requests.filter((r) => r.includes('watch=')).length;
  await until('three watches', () => watches() >= 3);
  assert.equal(lists(), 1);
  api.put('late', 1);
  await until('the change is delivered', () => mirror.has('default/late'));
});

test('refusals are retried with growing delays until the server recovers', async () => {
  api.put('a', 1);
  api.refusals.push(500, 503, 429, 500, 401);
  start({ random: () => 1 });
  await until('synced', () => synced === 1);
  assert.deepEqual(errors.slice(0, 5), [2, 4, 8, 16, 20]);
  assert.deepEqual(told, ['a=1']);
});

test('after stop no handler is called and no request is sent', async () => {
  start();
  await until('watching', () => api.watching === 1);
  informer?.stop();
  await until('the watch is closed', () => api.watching === 0);
  const requests = api.requests.length;
  api.put('late', 1);
  await new Promise((done) => setTimeout(done, 30));
  assert.equal(api.requests.length, requests);
  assert.deepEqual(told, []);
});

test('an object that cannot be decoded is skipped by name, and its last good version stays', async () => {
  api.put('good', 1);
  api.put('bad', 1);
  start();
  await until('both are seen', () => mirror.size === 2);
  const bad = { metadata: { namespace: 'default', name: 'bad' }, data: { value: 7 } };
  api.putObject('configmaps', bad as never);
  api.put('good', 2);
  await until('what follows is seen', () => mirror.get('default/good')?.value === 2);
  assert.equal(mirror.get('default/bad')?.value, 1);
  assert.match(informer!.skipped.get('default/bad') ?? '', /cannot unmarshal number/);
  // A new list contains the object again, and deletes no other object.
  api.cut();
  api.put('good', 3);
  api.expire();
  await until('the list is seen', () => mirror.get('default/good')?.value === 3);
  assert.equal(mirror.get('default/bad')?.value, 1);
  api.put('bad', 2);
  await until('the object is valid again', () => mirror.get('default/bad')?.value === 2);
  assert.deepEqual([...informer!.skipped], []);
  skipsExpected = [/^default\/bad: json: cannot unmarshal number into Go struct field/];
  skipsExpected.push(skipsExpected[0]!);
});

test('an exception of a handler for one object does not affect the others', async () => {
  start();
  const broken: string[] = [];
  const other = startInformer(
    client,
    'ConfigMap',
    {},
    {
      onUpsert: (object, _before, key) => {
        if (object.data?.value === '13') throw new Error('thirteen');
        broken.push(key);
      },
      onDelete: () => {},
      onSynced: () => {},
      onSkip: (key, error) => broken.push(`${key} ${error.message}`),
    },
  );
  api.put('a', 13);
  api.put('b', 1);
  await until('both are delivered', () => broken.length === 2);
  other.stop();
  assert.deepEqual(broken, ['default/a thirteen', 'default/b']);
  assert.deepEqual([...other.skipped], [['default/a', 'thirteen']]);
});

test('nulls and zeros of a foreign server are decoded as Go decodes them', async () => {
  const pods: unknown[] = [];
  const other = startInformer(
    client,
    'Pod',
    {},
    {
      onUpsert: (object) => pods.push(object),
      onDelete: () => {},
      onSynced: () => {},
      onSkip: (key, error) => assert.fail(`${key}: ${error.message}`),
    },
  );
  api.putObject('pods', {
    metadata: { namespace: 'default', name: 'p', annotations: null, finalizers: null },
    spec: { initContainers: null, containers: [{ name: 'c', ports: null, tty: false }] },
    status: null,
  } as never);
  await until('it is seen', () => pods.length === 1);
  other.stop();
  const { metadata, spec, status } = pods[0] as Record<string, Record<string, unknown>>;
  assert.deepEqual(Object.keys(metadata!).sort(), ['name', 'namespace', 'resourceVersion', 'uid']);
  assert.deepEqual(spec, { containers: [{ name: 'c' }] });
  assert.equal(status, undefined);
});
