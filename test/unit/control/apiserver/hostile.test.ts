// Requests that could harm the server. It survives them, and answers as upstream does.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { Store } from '../../../../control/apiserver/store/store.ts';
import { SERVED } from '../../../../control/apiserver/verbs/kinds.ts';
import { pod, startTestApi, type TestApi } from '../../../support/api-server.ts';
import { startWorld } from '../controllers/world.ts';

const PODS = '/api/v1/namespaces/default/pods';
const MAPS = '/api/v1/namespaces/default/configmaps';
const PATCHES = ['merge-patch+json', 'strategic-merge-patch+json', 'apply-patch+yaml'];
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

test('names of prototypes are plain keys in every write', async () => {
  const data = '{"__proto__":"a","constructor":"b","toString":"c"}';
  const text = `{"metadata":{"name":"keys","annotations":{"constructor":"x"}},"data":${data}}`;
  const created = await api.call('POST', MAPS, JSON.parse(text));
  assert.equal(created.code, 201, created.body.message);
  const keys = (object: { data: object }) => Object.keys(object.data).sort().join();
  assert.equal(keys(created.body), '__proto__,constructor,toString');
  for (const [i, type] of PATCHES.entries()) {
    const change = JSON.parse(`{"data":{"__proto__":"${i}","valueOf":"d"}}`) as object;
    const patch = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'keys' }, ...change };
    const { code, body } = await api.call('PATCH', `${MAPS}/keys?fieldManager=m${i}`, patch, {
      'content-type': `application/${type}`,
      ...(type.startsWith('apply') && { accept: 'application/json' }),
    });
    if (type.startsWith('apply') && code === 409) continue;
    assert.equal(code, 200, body.message);
    assert.equal(keys(body), '__proto__,constructor,toString,valueOf', type);
    assert.equal(Object.getOwnPropertyDescriptor(body.data, '__proto__')!.value, String(i));
  }
  assert.equal(({} as Record<string, unknown>).valueOf, Object.prototype.valueOf);
  const secret = JSON.parse('{"metadata":{"name":"keys"},"stringData":{"__proto__":"a"}}');
  const { body } = await api.call('POST', MAPS.replace('configmaps', 'secrets'), secret);
  assert.deepEqual(Object.entries(body.data), [['__proto__', 'YQ==']]);
});

test('a selector with the name of a prototype property selects nothing', async () => {
  await api.call('POST', PODS, pod('one'));
  for (const key of ['constructor', 'toString']) {
    const { body } = await api.call('GET', `${PODS}?labelSelector=${key}`);
    assert.deepEqual(body.items, []);
  }
  await api.call('DELETE', `${PODS}?labelSelector=constructor`);
  assert.equal((await api.call('GET', `${PODS}/one`)).code, 200);
});

/** True if a watch with this timeout is still there after its first event. */
function staysOpen(timeout: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const path = `${PODS}?watch=1&timeoutSeconds=${timeout}`;
    const headers = { authorization: `Bearer ${api.token}` };
    const options = { host: '127.0.0.1', port: api.port, ca: api.ca, path, headers, agent: false };
    const outgoing = request(options as never, (response) => {
      response.once('data', () => {
        // A watch that ends at once has ended before this answer.
        void api.call('GET', PODS).then(() => {
          resolve(!response.complete);
          outgoing.destroy();
        });
      });
      response.once('end', () => resolve(false));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

test('a watch with any integer timeout stays open, and other timeouts are refused', async () => {
  for (const timeout of ['2147484', '9223372036854775807', '-5', '0']) {
    assert.equal(await staysOpen(timeout), true, timeout);
  }
  for (const timeout of ['0.5', 'x', '99999999999999999999']) {
    const { code, body } = await api.call('GET', `${PODS}?watch=1&timeoutSeconds=${timeout}`);
    assert.equal(code, 400);
    assert.match(body.message, /^strconv\.ParseInt: parsing "/);
  }
});

test('options of a delete are decoded', async () => {
  const place = `${PODS}/ending`;
  await api.call('POST', PODS, pod('ending', {}, { nodeName: 'n1' }));
  const rows: [string, unknown, number][] = [
    ['?gracePeriodSeconds=x', undefined, 400],
    ['', { gracePeriodSeconds: '5' }, 400],
    ['', { preconditions: 'x' }, 400],
    ['', { dryRun: 'All' }, 400],
    ['', { propagationPolicy: {} }, 400],
    ['', { gracePeriodSeconds: 1e18, preconditions: null }, 200],
    ['?gracePeriodSeconds=-7', undefined, 200],
  ];
  for (const [query, body, code] of rows) {
    const answer = await api.call('DELETE', `${place}${query}`, body);
    assert.equal(answer.code, code, `${query} ${JSON.stringify(body)}: ${answer.body.message}`);
  }
});

test('a reader that throws fails neither the write nor the other readers, and is logged', () => {
  const store = new Store(SERVED);
  const skips: string[] = [];
  const seen: string[] = [];
  store.onSkip = (kind, { metadata }, { message }) =>
    skips.push(`${kind} ${metadata.name}: ${message}`);
  store.subscribe('pods', ({ object }) => {
    if (object.metadata.name === 'bad') throw new Error('no');
  });
  store.subscribe('pods', ({ object }) => seen.push(object.metadata.name));
  for (const name of ['a', 'bad', 'b']) store.create('pods', { metadata: { name } });
  assert.deepEqual(seen, ['a', 'bad', 'b']);
  assert.deepEqual(skips, ['pods bad: no']);
  store.each('pods', ({ metadata }) => assert.notEqual(metadata.name, 'bad'));
  assert.equal(skips.length, 2);
});

test('an object on which a controller fails gets an event, and others are processed', async () => {
  const world = startWorld();
  world.store.subscribe('pods', ({ type, object }) => {
    if (type === 'ADDED' && object.metadata.name === 'bad') throw new Error('no such pod');
  });
  world.create('Pod', pod('bad'));
  world.create('Pod', pod('good'));
  await world.idle();
  const events = world.list('Event').filter(({ reason }) => reason === 'ObjectSkipped');
  assert.deepEqual(
    events.map(({ involvedObject, message }) => [
      (involvedObject as { name: string }).name,
      message,
    ]),
    [['bad', 'a controller failed: no such pod']],
  );
  assert.equal(world.list('Pod').length, 2);
  world.controllers.stop();
});

const JSON_PATCH = { 'content-type': 'application/json-patch+json' };

test('a JSON patch that copies its copies is refused before it fills the memory', async () => {
  await api.call('POST', MAPS, { metadata: { name: 'bomb' }, data: { a: 'x'.repeat(1000) } });
  const copies = Array.from({ length: 60 }, (_, n) => ({
    ...{ op: 'copy', from: '/data', path: `/data/${n}` },
  }));
  const { code, body } = await api.call('PATCH', `${MAPS}/bomb`, copies, JSON_PATCH);
  assert.equal(code, 422);
  assert.match(body.message, /the accumulated size increase of copy is \d+, exceeding the limit/);
  assert.equal((await api.call('GET', `${MAPS}/bomb`)).body.data['0'], undefined);
});

test('a JSON patch that nests too deep is refused', async () => {
  await api.call('POST', MAPS, { metadata: { name: 'deep' }, data: {} });
  const at = '/metadata/managedFields/0/fieldsV1';
  const nested = Array.from({ length: 1500 }, (_, n) => ({
    ...{ op: 'add', path: `${at}${'/f'.repeat(n + 1)}`, value: {} },
  }));
  for (const count of [1100, 1500]) {
    const patch = [{ op: 'add', path: at, value: {} }, ...nested.slice(0, count)];
    const { code, body } = await api.call('PATCH', `${MAPS}/deep`, patch, JSON_PATCH);
    assert.equal(code, 400, body.message?.slice(0, 200));
    assert.match(body.message, /exceeded max depth/);
  }
  assert.equal((await api.call('GET', `${MAPS}/deep`)).code, 200);
});

test('a Scale of another shape is refused, and does not scale to 0', async () => {
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const labels = { app: 'scaled' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'pause' }] } };
  const spec = { replicas: 2, selector: { matchLabels: labels }, template };
  await api.call('POST', path, { metadata: { name: 'scaled' }, spec });
  for (const odd of ['3', 3, [], [{}], true]) {
    const { code } = await api.call('PUT', `${path}/scaled/scale`, { spec: odd });
    assert.equal(code, 400, JSON.stringify(odd));
  }
  for (const metadata of ['x', 3, []]) {
    const { code } = await api.call('PUT', `${path}/scaled/scale`, { metadata, spec });
    assert.equal(code, 400, JSON.stringify(metadata));
  }
  assert.equal((await api.call('GET', `${path}/scaled`)).body.spec.replicas, 2);
});
