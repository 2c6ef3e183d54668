import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  difference,
  intersection,
  isEmpty,
  isSame,
  keyElement,
  parseFieldSet,
  paths,
  union,
} from '../../../../../control/apiserver/apply/field-set.ts';

const PORT = keyElement({ port: 80, protocol: 'TCP' });
const A = { 'f:spec': { 'f:ports': { [PORT]: { '.': {}, 'f:port': {} } }, 'f:type': {} } };
const B = { 'f:spec': { 'f:ports': { [PORT]: { 'f:name': {}, 'f:port': {} } } } };

test('paths have the form of messages', () => {
  const set = { 'f:metadata': { 'f:finalizers': { 'v:"a/b"': {} } }, ...A, 'f:x': { 'i:3': {} } };
  assert.deepEqual(
    [...paths(set)],
    [
      '.metadata.finalizers[="a/b"]',
      '.spec.ports[port=80,protocol="TCP"]',
      '.spec.ports[port=80,protocol="TCP"].port',
      '.spec.type',
      '.x[3]',
    ],
  );
});

test('a union has all members of both sets; a child does not make its parent a member', () => {
  const both = { '.': {}, 'f:name': {}, 'f:port': {} };
  assert.deepEqual(union(A, B), { 'f:spec': { 'f:ports': { [PORT]: both }, 'f:type': {} } });
});

test('an intersection has the common members and no empty branch', () => {
  assert.deepEqual(intersection(A, B), { 'f:spec': { 'f:ports': { [PORT]: { 'f:port': {} } } } });
  assert.deepEqual(intersection(A, { 'f:spec': { 'f:ports': {} } }), {});
});

test('a difference without a parent keeps its children', () => {
  assert.deepEqual(difference(B, A), { 'f:spec': { 'f:ports': { [PORT]: { 'f:name': {} } } } });
  const parent = { 'f:spec': { 'f:ports': { [PORT]: {} } } };
  const left = { 'f:spec': { 'f:ports': { [PORT]: { 'f:port': {} } }, 'f:type': {} } };
  assert.deepEqual(difference(A, parent), left);
  assert.ok(isEmpty(difference(A, A)));
});

test('sets from clients have a normal form, whatever the order of keys', () => {
  const given = { 'f:a': { 'k:{"protocol":"TCP","port":80}': { '.': {} } }, 'f:b': { '.': {} } };
  const parsed = parseFieldSet(given);
  assert.deepEqual(parsed, { 'f:a': { [PORT]: {} }, 'f:b': {} });
  assert.ok(isSame(parsed!, { 'f:b': {}, 'f:a': { [PORT]: {} } }));
});

test('an invalid set parses to null', () => {
  for (const wrong of [null, 1, [], { 'f:a': 1 }, { x: {} }, { 'k:[1]': {} }, { 'v:{': {} }]) {
    assert.equal(parseFieldSet(wrong), null, JSON.stringify(wrong));
  }
});
