// Lists in pages, and lists of a given version.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { StatusError } from '../../../../../control/apiserver/status.ts';
import { Store } from '../../../../../control/apiserver/store/store.ts';
import { servedAt } from '../../../../../control/apiserver/verbs/kinds.ts';
import { type ListOptions, listObjects } from '../../../../../control/apiserver/verbs/list.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';
import { startTestApi, type TestApi } from '../../../../support/api-server.ts';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const kind = servedAt('v1', 'configmaps')!;
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const named = (name: string, n = 0): KubeObject => ({ metadata: { name, namespace: 'a' }, n });
const newStore = () => new Store([kind], 1);

function list(store: Store, over: Partial<ListOptions> = {}) {
  return listObjects(store, {
    ...{ kind, namespace: '', matches: () => true, isSelective: false, limit: 0, continue: '' },
    ...{ resourceVersion: '', match: 'NotOlderThan' as const },
    ...over,
  });
}

const byName = (a: KubeObject, b: KubeObject) => (a.metadata.name < b.metadata.name ? -1 : 1);

test('the pages of a list add up to the state at the first page', () => {
  const step = fc.record({
    name: fc.constantFrom(...'abcdefgh'),
    isRemoval: fc.boolean(),
    n: fc.nat(),
  });
  const steps = fc.array(step, { maxLength: 30 });
  fc.assert(
    fc.property(
      steps,
      fc.array(steps, { maxLength: 8 }),
      fc.integer({ min: 1, max: 4 }),
      (first, later, limit) => {
        const store = newStore();
        const run = (changes: typeof first) => {
          for (const { name, isRemoval, n } of changes) {
            if (isRemoval) store.remove(kind.plural, 'a', name);
            else if (store.get(kind.plural, 'a', name)) store.update(kind.plural, named(name, n));
            else store.create(kind.plural, named(name, n));
          }
        };
        run(first);
        const expected = store.list(kind.plural).sort(byName);
        const version = String(store.resourceVersion);
        const found: KubeObject[] = [];
        let token = '';
        do {
          const page = list(store, { limit, continue: token });
          assert.equal(page.metadata.resourceVersion, version);
          assert.ok(page.items.length <= limit);
          found.push(...page.items);
          token = page.metadata.continue ?? '';
          assert.equal(page.metadata.remainingItemCount ?? 0, expected.length - found.length);
          run(later.pop() ?? []);
        } while (token !== '');
        assert.deepEqual(found, expected);
        assert.deepEqual(list(store, { resourceVersion: version, match: 'Exact' }).items, expected);
      },
    ),
    { numRuns: 200 },
  );
});

test('a page of an expired version is refused with a token that continues with current objects', () => {
  const store = newStore();
  for (const name of 'abc') store.create(kind.plural, named(name));
  const { metadata } = list(store, { limit: 1 });
  for (let i = 0; i < 10_000; i++) store.update(kind.plural, named('a', i));
  store.create(kind.plural, named('bb'));
  const refused = (over: Partial<ListOptions>) => {
    try {
      list(store, over);
    } catch (error) {
      assert.ok(error instanceof StatusError);
      assert.equal(error.code, 410);
      assert.equal(error.reason, 'Expired');
      return error;
    }
    throw new assert.AssertionError({ message: 'it was served' });
  };
  const error = refused({ limit: 2, continue: metadata.continue! });
  assert.match(
    error.message,
    /^The provided continue parameter is too old to display a consistent/,
  );
  const status = error.toStatus() as { metadata: { continue: string } };
  const rest = list(store, { limit: 2, continue: status.metadata.continue });
  assert.deepEqual(
    rest.items.map((o) => o.metadata.name),
    ['b', 'bb'],
  );
  assert.ok(rest.metadata.continue, 'the next page has the version of this one');
  const old = refused({ resourceVersion: '5', match: 'Exact' });
  assert.equal(old.message, 'The resourceVersion for the provided list is too old.');
});

test('a list with a selector has no remainingItemCount', () => {
  const store = newStore();
  for (const name of 'abc') store.create(kind.plural, named(name));
  const { metadata } = list(store, { limit: 1, isSelective: true });
  assert.equal(metadata.remainingItemCount, undefined);
  assert.ok(metadata.continue);
});

test('resourceVersionMatch selects the exact version or a newer one', async () => {
  const made = await api.call('POST', CONFIGMAPS, { metadata: { name: 'one' } });
  const version = made.body.metadata.resourceVersion;
  await api.call('POST', CONFIGMAPS, { metadata: { name: 'two' } });
  const names = async (query: string) => {
    const { body } = await api.call('GET', `${CONFIGMAPS}?resourceVersion=${version}&${query}`);
    return body.items
      .map((o: KubeObject) => o.metadata.name)
      .filter((n: string) => n !== 'kube-root-ca.crt');
  };
  assert.deepEqual(await names('resourceVersionMatch=Exact'), ['one']);
  assert.deepEqual(await names('resourceVersionMatch=NotOlderThan'), ['one', 'two']);
  assert.deepEqual(await names(''), ['one', 'two']);
  assert.deepEqual(await names('limit=10'), ['one'], 'with a limit: exactly');
});

test('a future version makes the client wait', async () => {
  const { code, body } = await api.call('GET', `${CONFIGMAPS}?resourceVersion=9007199254740000`);
  assert.equal(code, 504);
  assert.equal(body.reason, 'Timeout');
  assert.match(body.message, /^Too large resource version: 9007199254740000, current: \d+$/);
  assert.equal(body.details.retryAfterSeconds, 1);
  assert.equal(body.details.causes[0].reason, 'ResourceVersionTooLarge');
});

const INVALID: [query: string, code: number, message: RegExp][] = [
  [
    'resourceVersionMatch=Exact',
    422,
    /^ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided$/,
  ],
  ['resourceVersion=0&resourceVersionMatch=Exact', 422, /is forbidden for resourceVersion "0"$/],
  [
    'resourceVersion=1&resourceVersionMatch=Newer',
    422,
    /resourceVersionMatch: Unsupported value: "Newer"/,
  ],
  [
    'resourceVersion=1&resourceVersionMatch=Exact&continue=x',
    422,
    /is forbidden when continue is provided$/,
  ],
  [
    'resourceVersion=1&continue=x',
    400,
    /^specifying resource version is not allowed when using continue$/,
  ],
  ['continue=x', 400, /^continue key is not valid$/],
  ['resourceVersion=x', 400, /^invalid resource version "x"$/],
  ['sendInitialEvents=true', 422, /sendInitialEvents is forbidden for list$/],
  [
    'watch=1&resourceVersionMatch=Exact&resourceVersion=1',
    422,
    /is forbidden for watch unless sendInitialEvents is provided$/,
  ],
  [
    'watch=1&sendInitialEvents=true',
    422,
    /sendInitialEvents requires setting resourceVersionMatch to NotOlderThan$/,
  ],
];

for (const [query, code, message] of INVALID) {
  test(`a list of ${query} is refused`, async () => {
    const { code: found, body } = await api.call('GET', `${CONFIGMAPS}?${query}`);
    assert.match(body.message, message);
    assert.equal(found, code);
  });
}
