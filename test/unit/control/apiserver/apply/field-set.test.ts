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

test('paths are written as messages have them', () => {
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

test('a union has what either has, an element itself apart from what lies below it', () => {
  const both = { '.': {}, 'f:name': {}, 'f:port': {} };
  assert.deepEqual(union(A, B), { 'f:spec': { 'f:ports': { [PORT]: both }, 'f:type': {} } });
});

test('an intersection has no more than both have, and no empty branch', () => {
  assert.deepEqual(intersection(A, B), { 'f:spec': { 'f:ports': { [PORT]: { 'f:port': {} } } } });
  assert.deepEqual(intersection(A, { 'f:spec': { 'f:ports': {} } }), {});
});

test('a difference goes path by path: a parent that goes leaves its children', () => {
  assert.deepEqual(difference(B, A), { 'f:spec': { 'f:ports': { [PORT]: { 'f:name': {} } } } });
  const parent = { 'f:spec': { 'f:ports': { [PORT]: {} } } };
  const left = { 'f:spec': { 'f:ports': { [PORT]: { 'f:port': {} } }, 'f:type': {} } };
  assert.deepEqual(difference(A, parent), left);
  assert.ok(isEmpty(difference(A, A)));
});

test('what a client wrote is read in one form, whatever the order of its keys', () => {
  const given = { 'f:a': { 'k:{"protocol":"TCP","port":80}': { '.': {} } }, 'f:b': { '.': {} } };
  const parsed = parseFieldSet(given);
  assert.deepEqual(parsed, { 'f:a': { [PORT]: {} }, 'f:b': {} });
  assert.ok(isSame(parsed!, { 'f:b': {}, 'f:a': { [PORT]: {} } }));
});

test('what is no set of fields is none', () => {
  for (const wrong of [null, 1, [], { 'f:a': 1 }, { x: {} }, { 'k:[1]': {} }, { 'v:{': {} }]) {
    assert.equal(parseFieldSet(wrong), null, JSON.stringify(wrong));
  }
});
