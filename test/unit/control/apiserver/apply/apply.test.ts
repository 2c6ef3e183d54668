import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Applied, applyConfig } from '../../../../../control/apiserver/apply/apply.ts';
import type { ManagedFields } from '../../../../../control/apiserver/apply/managers.ts';
import { merge } from '../../../../../control/apiserver/apply/merge.ts';
import { recordUpdate } from '../../../../../control/apiserver/apply/ownership.ts';
import { schemaOf } from '../../../../../control/apiserver/apply/schema.ts';
import type { StatusError } from '../../../../../control/apiserver/status.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';

const T1 = '2026-01-01T00:00:01Z';
const T2 = '2026-01-01T00:00:02Z';
const METADATA = { name: 'web', namespace: 'default' };

function service(spec: object, metadata: object = {}): KubeObject {
  const own = { ...METADATA, ...metadata };
  return { apiVersion: 'v1', kind: 'Service', metadata: own, spec };
}

/** A configuration without fields: `spec: {}` would own the field spec. */
function nothing(): KubeObject {
  return { apiVersion: 'v1', kind: 'Service', metadata: { ...METADATA } };
}

function deployment(spec: object): KubeObject {
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { ...METADATA }, spec };
}

function apply(
  live: Applied | null,
  config: KubeObject,
  manager: string,
  { force = false, now = T1 } = {},
): Applied {
  const writer = { manager, operation: 'Apply' as const, apiVersion: config.apiVersion! };
  return applyConfig(live && stored(live), config, writer, force, now);
}

function stored({ object, managers }: Applied): KubeObject {
  return { ...object, metadata: { ...object.metadata, managedFields: managers } };
}

/** An update through the API by a client of this name. */
function update(live: Applied, object: KubeObject, manager: string, now = T2): Applied {
  const writer = { manager, operation: 'Update' as const, apiVersion: 'v1' };
  return { object, managers: recordUpdate(live.managers, live.object, object, writer, now) };
}

function fieldsOf({ managers }: Applied, manager: string): object | undefined {
  return managers.find((m) => m.manager === manager)?.fieldsV1;
}

function refusal(act: () => unknown): StatusError {
  let caught: unknown;
  assert.throws(act, (error) => {
    caught = error;
    return true;
  });
  return caught as StatusError;
}

test('an apply owns its fields except the identity', () => {
  const made = apply(null, service({ type: 'ClusterIP' }, { labels: { a: '1' } }), 'me');
  assert.deepEqual(made.managers, [
    {
      manager: 'me',
      operation: 'Apply',
      apiVersion: 'v1',
      time: T1,
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:metadata': { 'f:labels': { 'f:a': {} } }, 'f:spec': { 'f:type': {} } },
    },
  ]);
});

test("a change of another manager's field is a conflict that names field and owner", () => {
  const live = apply(null, service({ type: 'NodePort' }), 'first');
  const error = refusal(() => apply(live, service({ type: 'ClusterIP' }), 'second'));
  assert.equal(error.code, 409);
  assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "first": .spec.type');
  assert.deepEqual(error.details.causes, [
    { reason: 'FieldManagerConflict', message: 'conflict with "first"', field: '.spec.type' },
  ]);
});

test('several conflicts are listed by owner, updates with their version', () => {
  const made = apply(null, service({ type: 'NodePort' }), 'first');
  const live = update(
    made,
    service({ type: 'NodePort', sessionAffinity: 'ClientIP', ports: [{ port: 80, name: 'a' }] }),
    'hand',
  );
  const config = { type: 'ClusterIP', sessionAffinity: 'None', ports: [{ port: 80, name: 'b' }] };
  assert.equal(
    refusal(() => apply(live, service(config), 'me')).message,
    [
      'Apply failed with 3 conflicts: conflicts with "first":',
      '- .spec.type',
      'conflicts with "hand" using v1:',
      '- .spec.ports[port=80,protocol="TCP"].name',
      '- .spec.sessionAffinity',
    ].join('\n'),
  );
});

test('a forced apply takes over the fields it changes; others keep the rest', () => {
  const live = apply(null, service({ type: 'NodePort', sessionAffinity: 'None' }), 'first');
  const taken = apply(live, service({ type: 'ClusterIP' }), 'second', { force: true });
  assert.equal(taken.object.spec.type, 'ClusterIP');
  assert.deepEqual(fieldsOf(taken, 'first'), { 'f:spec': { 'f:sessionAffinity': {} } });
  assert.deepEqual(fieldsOf(taken, 'second'), { 'f:spec': { 'f:type': {} } });
});

test('an apply of the same value adds an owner; a field is removed with its last owner', () => {
  const spec = { sessionAffinity: 'ClientIP' };
  const shared = apply(apply(null, service(spec), 'first'), service(spec), 'second');
  const one = apply(shared, nothing(), 'first');
  assert.equal(one.object.spec.sessionAffinity, 'ClientIP');
  assert.equal(fieldsOf(one, 'first'), undefined);
  const none = apply(one, nothing(), 'second');
  assert.equal(none.object.spec?.sessionAffinity, undefined);
  assert.deepEqual(none.managers, []);
});

test('an item that is no longer applied is removed, unless others own fields in it', () => {
  const env = (...names: string[]) => names.map((name) => ({ name, value: name }));
  const config = (names: string[], image: object = { image: 'i' }) => {
    const containers = [{ name: 'main', ...image, env: env(...names) }];
    return deployment({ template: { spec: { containers } } });
  };
  const live = apply(null, config(['A', 'B']), 'first');
  const both = apply(live, config(['C'], {}), 'second');
  const fewer = apply(both, config(['B']), 'first');
  const [container] = fewer.object.spec.template.spec.containers;
  assert.deepEqual(container.env, env('B', 'C'));
  const without = apply(fewer, deployment({}), 'first');
  const left = [{ name: 'main', env: env('C') }];
  assert.deepEqual(without.object.spec.template.spec.containers, left);
});

test('an item without owned fields is removed completely', () => {
  const live = apply(null, service({ ports: [{ port: 80 }, { port: 81 }] }), 'me');
  live.object.spec.ports[0].targetPort = 80;
  const { object } = apply(live, service({ ports: [{ port: 81 }] }), 'me');
  assert.deepEqual(object.spec.ports, [{ port: 81 }]);
});

test('applied items come in the applied order; items of others keep their place', () => {
  const list = (...ports: number[]) => ({ spec: { ports: ports.map((port) => ({ port })) } });
  const merged = (live: number[], config: number[]) => {
    const schema = schemaOf('Service');
    const { spec } = merge(list(...live), list(...config), schema) as ReturnType<typeof list>;
    return spec.ports.map(({ port }) => port);
  };
  assert.deepEqual(merged([1, 2, 3], [3, 1, 9]), [2, 3, 1, 9]);
  assert.deepEqual(merged([1, 2], [9, 1]), [9, 1, 2]);
  assert.deepEqual(merged([2, 1], [9, 1]), [2, 9, 1]);
  assert.deepEqual(merged([1, 3, 2, 4, 5], [3, 1, 4]), [3, 2, 5, 1, 4]);
});

test('a null removes a field and owns it', () => {
  const live = apply(null, deployment({ replicas: 3, paused: true }), 'first');
  const config = deployment({ replicas: null });
  assert.match(refusal(() => apply(live, config, 'second')).message, /"first": \.spec\.replicas$/);
  const taken = apply(live, config, 'second', { force: true });
  assert.deepEqual(taken.object.spec, { paused: true });
  assert.deepEqual(fieldsOf(taken, 'second'), { 'f:spec': { 'f:replicas': {} } });
});

test('the first apply assigns the fields of an object without managers to before-first-apply', () => {
  const live: Applied = { object: service({ type: 'NodePort' }), managers: [] };
  const error = refusal(() => apply(live, service({ type: 'ClusterIP' }), 'me'));
  assert.match(error.message, /conflict with "before-first-apply" using v1: \.spec\.type$/);
});

test('an empty apply to an object without managers records none', () => {
  const live: Applied = { object: service({ type: 'NodePort' }), managers: [] };
  const { object, managers } = apply(live, nothing(), 'me');
  assert.deepEqual(managers, []);
  assert.deepEqual(object.spec, live.object.spec);
});

test('the time of an entry is that of its last change', () => {
  const config = service({ type: 'NodePort' });
  const first = apply(null, config, 'me');
  assert.equal(apply(first, config, 'me', { now: T2 }).managers[0]?.time, T1);
  const more = service({ type: 'NodePort', sessionAffinity: 'None' });
  assert.equal(apply(first, more, 'me', { now: T2 }).managers[0]?.time, T2);
});

test('an update becomes the only owner of what it changes and adds', () => {
  const live = apply(null, service({ type: 'NodePort', selector: { a: '1' } }), 'me');
  const spec = { type: 'ClusterIP', selector: { a: '1' }, ports: [{ port: 80 }] };
  const changed = update(live, service(spec), 'hand');
  assert.deepEqual(fieldsOf(changed, 'me'), { 'f:spec': { 'f:selector': {} } });
  const port = { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {} } };
  const owned = { 'f:spec': { 'f:ports': { '.': {}, ...port }, 'f:type': {} } };
  assert.deepEqual(fieldsOf(changed, 'hand'), owned);
  const emptied = update(changed, service({}), 'hand', T2);
  assert.deepEqual(emptied.managers, []);
});

test('an update that changes nothing leaves its managers as they are', () => {
  const live = apply(null, service({ type: 'NodePort' }), 'me');
  assert.equal(update(live, service({ type: 'NodePort' }), 'hand').managers, live.managers);
});

test('more than ten entries of updates merge, the oldest first', () => {
  let live = apply(null, service({ type: 'NodePort' }), 'me');
  const labels: Record<string, string> = {};
  for (let i = 10; i < 23; i++) {
    labels[`l${i}`] = 'x';
    const time = `2026-01-01T00:01:${i}Z`;
    live = update(live, service({ type: 'NodePort' }, { labels: { ...labels } }), `m${i}`, time);
  }
  const updaters = live.managers.filter((m: ManagedFields) => m.operation === 'Update');
  assert.equal(updaters.length, 10);
  const [oldest] = updaters;
  assert.equal(oldest?.manager, 'ancient-changes');
  assert.equal(oldest?.time, '2026-01-01T00:01:13Z');
  const merged = { '.': {}, 'f:l10': {}, 'f:l11': {}, 'f:l12': {}, 'f:l13': {} };
  assert.deepEqual(oldest?.fieldsV1, { 'f:metadata': { 'f:labels': merged } });
});

test('kubectl takes over its client-side fields, except those changed since', () => {
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration';
  const config = (type: string) => service({ type, sessionAffinity: 'None' });
  const annotations = { [annotation]: JSON.stringify(config('NodePort')) };
  const object = { ...config('NodePort'), metadata: { ...METADATA, annotations } };
  const empty: Applied = { object: service({}), managers: [] };
  const begun = apply(empty, service({}, { labels: { a: 'b' } }), 'me');
  const live = update(begun, object, 'kubectl-client-side-apply');
  const applied = apply(live, config('ClusterIP'), 'kubectl');
  assert.equal(applied.object.spec.type, 'ClusterIP');
  const kept = JSON.parse(applied.object.metadata.annotations![annotation]!);
  assert.equal(kept.spec.type, 'ClusterIP');
  assert.throws(() => apply(live, config('ClusterIP'), 'somebody'));
  const byHand = update(live, { ...object, spec: { ...object.spec, type: 'X' } }, 'hand');
  assert.throws(() => apply(byHand, config('ClusterIP'), 'kubectl'));
});
