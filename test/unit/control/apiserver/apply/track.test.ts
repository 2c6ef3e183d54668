import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManagedFields } from '../../../../../control/apiserver/apply/managers.ts';
import { trackManagers } from '../../../../../control/apiserver/apply/track.ts';
import { servedAt } from '../../../../../control/apiserver/verbs/kinds.ts';
import type { KubeObject } from '../../../../../control/kube/object.ts';

const MAP = servedAt('v1', 'configmaps')!;

function entry(manager: string, fieldsV1: ManagedFields['fieldsV1'], time: string): ManagedFields {
  const operation = 'Apply' as const;
  return { manager, operation, apiVersion: 'v1', time, fieldsType: 'FieldsV1', fieldsV1 };
}

function map(data: object, managedFields?: ManagedFields[]): KubeObject {
  const metadata = { name: 'm', ...(managedFields && { managedFields }) };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
}

test('objects that a controller creates have no managers', () => {
  const made = map({ a: '1' });
  trackManagers(MAP, undefined, made, '', {});
  assert.equal(made.metadata.managedFields, undefined);
  const changed = map({ a: '2' });
  trackManagers(MAP, made, changed, '', { manager: 'hand' });
  assert.equal(changed.metadata.managedFields, undefined);
});

test("a controller's change of a managed object is recorded with its name", () => {
  const managers = [entry('me', { 'f:data': { 'f:a': {} } }, '2026-01-01T00:00:00Z')];
  const changed = map({ a: '2' }, managers);
  trackManagers(MAP, map({ a: '1' }, managers), changed, '', {});
  const [only] = changed.metadata.managedFields as ManagedFields[];
  assert.equal(only?.manager, 'kube-controller-manager');
  assert.deepEqual(only?.fieldsV1, { 'f:data': { 'f:a': {} } });
});

test('an apply that changes nothing after defaults keeps the times', () => {
  const fields = { 'f:data': { 'f:a': {} } };
  const [then, now] = ['2026-01-01T00:00:00Z', '2026-01-01T00:00:09Z'];
  const old = map({ a: '1' }, [entry('me', fields, then)]);
  const same = map({ a: '1' });
  trackManagers(MAP, old, same, '', { manager: 'me', managers: [entry('me', fields, now)] });
  assert.deepEqual(same.metadata.managedFields, old.metadata.managedFields);
  const other = map({ a: '2' });
  trackManagers(MAP, old, other, '', { manager: 'me', managers: [entry('me', fields, now)] });
  assert.deepEqual(other.metadata.managedFields, [entry('me', fields, now)]);
});
