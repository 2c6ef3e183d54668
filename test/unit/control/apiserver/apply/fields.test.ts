import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, fieldSetOf } from '../../../../../control/apiserver/apply/fields.ts';
import { schemaOf } from '../../../../../control/apiserver/apply/schema.ts';

const TCP_80 = 'k:{"port":80,"protocol":"TCP"}';
const UDP_53 = 'k:{"port":53,"protocol":"UDP"}';

test("keys identify an item, with upstream's default for a missing key", () => {
  const service = {
    spec: { ports: [{ port: 80 }, { port: 53, protocol: 'UDP', name: 'dns' }] },
  };
  assert.deepEqual(fieldSetOf(service, schemaOf('Service')), {
    'f:spec': {
      'f:ports': {
        [TCP_80]: { '.': {}, 'f:port': {} },
        [UDP_53]: { '.': {}, 'f:name': {}, 'f:port': {}, 'f:protocol': {} },
      },
    },
  });
});

test('maps have a field for each key, unless they are atomic', () => {
  const service = {
    metadata: { labels: { a: '1' }, annotations: {} },
    spec: { selector: { app: 'web' }, clusterIPs: ['10.0.0.1'] },
  };
  assert.deepEqual(fieldSetOf(service, schemaOf('Service')), {
    'f:metadata': { 'f:annotations': {}, 'f:labels': { 'f:a': {} } },
    'f:spec': { 'f:clusterIPs': {}, 'f:selector': {} },
  });
});

test('a pod template has fields like a pod, and a selector is atomic', () => {
  const container = {
    name: 'main',
    command: ['sleep'],
    env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
    ports: [{ containerPort: 80 }],
    volumeMounts: [{ name: 'v', mountPath: '/v' }],
  };
  const deployment = {
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: { spec: { containers: [container] } },
    },
  };
  const own = {
    '.': {},
    'f:command': {},
    'f:env': { 'k:{"name":"A"}': { '.': {}, 'f:name': {}, 'f:valueFrom': { 'f:fieldRef': {} } } },
    'f:name': {},
    'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
    'f:volumeMounts': { 'k:{"mountPath":"/v"}': { '.': {}, 'f:mountPath': {}, 'f:name': {} } },
  };
  assert.deepEqual(fieldSetOf(deployment, schemaOf('Deployment')), {
    'f:spec': {
      'f:selector': {},
      'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"main"}': own } } },
    },
  });
});

test('metadata has finalizers by value and owners by uid', () => {
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u1' };
  const object = { metadata: { finalizers: ['a/b'], ownerReferences: [owner] } };
  assert.deepEqual(fieldSetOf(object, schemaOf('ConfigMap')), {
    'f:metadata': {
      'f:finalizers': { 'v:"a/b"': {} },
      'f:ownerReferences': { 'k:{"uid":"u1"}': {} },
    },
  });
});

test('a list that lacks its keys is one value, and items that share a key are one item', () => {
  const set = (ports: object[]) => fieldSetOf({ spec: { ports } }, schemaOf('Service'));
  assert.deepEqual(set([{ name: 'x' }]), { 'f:spec': { 'f:ports': {} } });
  assert.deepEqual(set([{ port: 80 }, { port: 80, name: 'x' }]), {
    'f:spec': { 'f:ports': { [TCP_80]: {} } },
  });
});

test('a comparison separates added, modified and removed fields, and adds parents', () => {
  const old = { metadata: { labels: { a: '1', b: '2' } }, spec: { ports: [{ port: 80 }] } };
  const current = {
    metadata: { labels: { a: '9' }, annotations: { x: 'y' } },
    spec: { ports: [{ port: 80, name: 'http' }] },
  };
  assert.deepEqual(compare(old, current, schemaOf('Service')), {
    added: {
      'f:metadata': { 'f:annotations': { '.': {}, 'f:x': {} } },
      'f:spec': { 'f:ports': { [TCP_80]: { 'f:name': {} } } },
    },
    modified: { 'f:metadata': { 'f:labels': { 'f:a': {} } } },
    removed: { 'f:metadata': { 'f:labels': { 'f:b': {} } } },
  });
});

test('a different order of items does not count as a change', () => {
  const ports = [{ port: 80 }, { port: 443 }];
  const none = { added: {}, modified: {}, removed: {} };
  const [schema, other] = [schemaOf('Service'), { spec: { ports: ports.toReversed() } }];
  assert.deepEqual(compare({ spec: { ports } }, other, schema), none);
});

test('a null counts as a change of a value, but not of an absent field', () => {
  const schema = schemaOf('Deployment');
  const { modified, added } = compare(
    { spec: { replicas: 1 } },
    { spec: { replicas: null, paused: null } },
    schema,
  );
  assert.deepEqual(modified, { 'f:spec': { 'f:replicas': {} } });
  assert.deepEqual(added, {});
});
