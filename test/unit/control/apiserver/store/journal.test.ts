import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { Journal } from '../../../../../control/apiserver/store/journal.ts';
import { Store } from '../../../../../control/apiserver/store/store.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';
import { pod, service, startTestApi } from '../../../../support/api-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-journal-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
const fresh = () => join(folder, `journal-${files++}`);
const PODS = [{ plural: 'pods', group: '', kind: 'Pod' }];
const named = (name: string, n = 0): KubeObject => ({
  metadata: { name, namespace: 'a', annotations: { n: String(n) } },
});

function open(path: string): { store: Store; journal: Journal } {
  const journal = Journal.open(path);
  return { store: new Store(PODS, 1000, journal), journal };
}

test('a store with a journal restores objects, versions and events', () => {
  const step = fc.tuple(
    fc.constantFrom('put', 'remove', 'die'),
    fc.constantFrom('x', 'y', 'z'),
    fc.nat(),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const path = fresh();
      let { store, journal } = open(path);
      for (const [what, name, n] of steps) {
        const there = store.get('pods', 'a', name);
        if (what === 'remove') store.remove('pods', 'a', name);
        else if (what === 'put' && there) store.update('pods', named(name, n));
        else if (what === 'put') store.create('pods', named(name, n));
        else {
          const [before, version] = [store.list('pods'), store.resourceVersion];
          const events = store.eventsSince('pods', 1000);
          journal.close();
          ({ store, journal } = open(path));
          const byName = (a: KubeObject, b: KubeObject) =>
            a.metadata.name < b.metadata.name ? -1 : 1;
          assert.deepEqual(store.list('pods').sort(byName), before.sort(byName));
          assert.equal(store.resourceVersion, version);
          assert.deepEqual(store.eventsSince('pods', 1000), events);
        }
      }
      journal.close();
    }),
    { numRuns: 100 },
  );
});

test('a half written last line is dropped, and the next write starts a new line', () => {
  const path = fresh();
  const first = open(path);
  first.store.create('pods', named('whole'));
  first.journal.close();
  appendFileSync(path, '{"kind":"pods","version":2000,"obj');
  const second = open(path);
  assert.deepEqual(
    second.store.list('pods').map((o) => o.metadata.name),
    ['whole'],
  );
  second.store.create('pods', named('next'));
  second.journal.close();
  const third = open(path);
  assert.equal(third.store.list('pods').length, 2);
  third.journal.close();
});

test('a damaged line is reported and kept beside the file, and other lines survive', async () => {
  const damages: [string, (line: string) => string, RegExp][] = [
    ['a flipped byte', (line) => line.replace('"two"', '"twp"'), /its checksum is another one/],
    ['no entry', () => 'no entry', /it is no JSON/],
    ['a number', () => '7', /it is no entry of a journal/],
    [
      'an object that cannot be decoded, of a version without checksums',
      (line) => line.slice(9).replace('"name":"two"', '"name":{}'),
      /pods a\/two: json: cannot unmarshal object into Go struct field ObjectMeta\.metadata\.name/,
    ],
  ];
  for (const [what, damage, why] of damages) {
    const path = fresh();
    const { store, journal } = open(path);
    for (const name of ['one', 'two', 'three']) store.create('pods', named(name));
    const { resourceVersion } = store;
    journal.close();
    const lines = readFileSync(path, 'utf8').split('\n');
    lines[1] = damage(lines[1]!);
    writeFileSync(path, lines.join('\n'));
    const said: string[] = [];
    const damaged = Journal.open(path, true, (message) => said.push(message));
    const after = new Store(PODS, 1000, damaged);
    const names = after.list('pods').map(({ metadata }) => metadata.name);
    assert.deepEqual(names, ['one', 'three'], what);
    assert.equal(said.length, 1);
    assert.match(said[0]!, why);
    assert.match(said[0]!, /journal\S*:2 is skipped/);
    assert.equal(readFileSync(`${path}.bad`, 'utf8'), `${lines[1]}\n`);
    // No version is used twice, and watches start again.
    assert.ok(after.resourceVersion > resourceVersion);
    assert.equal(after.eventsSince('pods', resourceVersion), null);
    after.create('pods', named('four'));
    while (existsSync(`${path}.new`)) await turn();
    damaged.close();
    const again = Journal.open(path, true, (message) => assert.fail(message));
    assert.equal(new Store(PODS, 1000, again).list('pods').length, 3);
    again.close();
  }
});

test('a journal without a readable line is kept, and a missing one is reported', () => {
  const path = fresh();
  const said: string[] = [];
  Journal.open(path, true, (message) => said.push(message)).close();
  assert.match(said[0]!, /is missing: all its objects are lost/);
  writeFileSync(path, 'torn');
  Journal.open(path, true, (message) => said.push(message)).close();
  assert.match(said[1]!, /no readable line: the cluster starts empty/);
  assert.equal(readFileSync(`${path}.unreadable`, 'utf8'), 'torn');
});

test('a record of an unknown kind stays in the journal for a version that knows it', () => {
  const path = fresh();
  const { store, journal } = open(path);
  store.create('pods', named('one'));
  const later = { metadata: { name: 'new', resourceVersion: '9' } };
  journal.append('gadgets', '/new', store.resourceVersion + 1, later);
  journal.close();
  const second = Journal.open(path, true, (message) => assert.fail(message));
  const kinds = second.restore()!.objects.map(({ kind }) => kind);
  assert.deepEqual(kinds.sort(), ['gadgets', 'pods']);
  second.close();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('many writes of few objects do not grow the file without limit', async () => {
  const path = fresh();
  const { store, journal } = open(path);
  store.create('pods', named('busy'));
  for (let i = 0; i < 100_000; i++) {
    store.update('pods', named('busy', i));
    if (i % 100 === 0) await turn();
  }
  store.remove('pods', 'a', 'busy');
  journal.close();
  const lines = readFileSync(path, 'utf8').split('\n').length;
  assert.ok(lines < 50_000, `${lines} lines`);
  const next = open(path);
  assert.equal(
    next.store.resourceVersion,
    store.resourceVersion,
    'versions continue after the dropped writes',
  );
  assert.equal(next.store.list('pods').length, 0);
  assert.equal(next.store.eventsSince('pods', 1000), null, 'the oldest writes are forgotten');
  const last = next.store.eventsSince('pods', store.resourceVersion - 1)!;
  assert.deepEqual(
    last.map(({ type, object }) => [type, object.metadata.resourceVersion]),
    [['DELETED', String(store.resourceVersion)]],
  );
  next.journal.close();
});

test('writes go on while a snapshot is written, and are in it', async () => {
  const path = fresh();
  let { store, journal } = open(path);
  const count = 3000;
  for (let i = 0; i < count; i++) store.create('pods', named(`p${i}`));
  const inode = statSync(path).ino;
  let steps = 0;
  // Once the journal is too long, makes a change of each kind in every turn until the snapshot
  // replaces the file.
  while (statSync(path).ino === inode) {
    const i = steps++ % count;
    store.update('pods', named(`p${i}`, steps));
    if (steps % 7 === 0 && store.remove('pods', 'a', `p${i}`))
      store.create('pods', named(`p${i}`, -1));
    if (steps > 16_000) await turn();
    assert.ok(steps < 100_000, 'no snapshot was written');
  }
  store.create('pods', named('afterwards'));
  const expected = new Map(store.list('pods').map((o) => [o.metadata.name, o]));
  const version = store.resourceVersion;
  journal.close();
  ({ store, journal } = open(path));
  assert.deepEqual(new Map(store.list('pods').map((o) => [o.metadata.name, o])), expected);
  assert.equal(store.resourceVersion, version);
  assert.equal(existsSync(`${path}.new`), false);
  journal.close();
});

test('a half written snapshot of a killed process is ignored', () => {
  const path = fresh();
  const first = open(path);
  first.store.create('pods', named('kept'));
  first.journal.close();
  appendFileSync(`${path}.new`, '{"kind":"pods","versi');
  const { store, journal } = open(path);
  assert.equal(store.list('pods').length, 1);
  journal.close();
});

test('only the owner can read a journal', () => {
  const path = fresh();
  open(path).journal.close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('a restarted server keeps objects, addresses and watches', async () => {
  const path = fresh();
  const first = await startTestApi(path);
  const services = '/api/v1/namespaces/default/services';
  const { body: web } = await first.call('POST', services, service('web', { type: 'NodePort' }));
  await first.call('POST', '/api/v1/namespaces/default/pods', pod('p', {}, { nodeName: 'node1' }));
  const { body: list } = await first.call('GET', '/api/v1/pods');
  await first.close();
  const second = await startTestApi(path);
  try {
    const { body: again } = await second.call('GET', `${services}/web`);
    assert.deepEqual(again, web);
    const taken = service('other', { clusterIP: web.spec.clusterIP });
    assert.match((await second.call('POST', services, taken)).body.message, /already allocated/);
    const { body: other } = await second.call(
      'POST',
      services,
      service('third', { type: 'NodePort' }),
    );
    assert.notEqual(other.spec.ports[0].nodePort, web.spec.ports[0].nodePort);
    const version = list.metadata.resourceVersion;
    const events: string[] = [];
    const stop = new AbortController();
    await new Promise<void>((resolve) => {
      second.kube
        .watch(
          'Pod',
          { resourceVersion: version, silenceMsMax: 5000, signal: stop.signal },
          ({ type, object }) => {
            events.push(`${type} ${object.metadata?.name}`);
            resolve();
          },
        )
        .catch((error) => {
          events.push(String(error));
          resolve();
        });
      void second.call(
        'POST',
        '/api/v1/namespaces/default/pods',
        pod('q', {}, { nodeName: 'node1' }),
      );
    });
    stop.abort();
    assert.deepEqual(events, ['ADDED q'], 'each event comes exactly once');
  } finally {
    await second.close();
  }
});

test('repeated writes of large objects trigger a snapshot by bytes', async () => {
  const path = fresh();
  const { store, journal } = open(path);
  const large = (n: number): KubeObject => ({
    metadata: { name: 'x', namespace: 'a', annotations: { n: `${n}${'x'.repeat(1 << 20)}` } },
  });
  store.create('pods', large(0));
  for (let n = 1; n <= 70; n++) store.update('pods', large(n));
  for (let turns = 0; statSync(path).size > 32 << 20; turns++) {
    assert.ok(turns < 10_000, 'no snapshot was written');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const version = store.resourceVersion;
  journal.close();
  const again = open(path);
  assert.deepEqual(
    again.store.get('pods', 'a', 'x')?.metadata.annotations,
    large(70).metadata.annotations,
  );
  assert.equal(again.store.resourceVersion, version);
  again.journal.close();
});
