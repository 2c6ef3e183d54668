import assert from 'node:assert/strict';
import { test } from 'node:test';
import { qosClassOf } from '../../../../control/model/quantity.ts';

type Resources = { requests?: Record<string, string>; limits?: Record<string, string> };
const classOf = (...resources: Resources[]) =>
  qosClassOf({ containers: resources.map((each) => ({ resources: each })) });
const both = (cpu: string, memory: string) => ({ cpu, memory });

// Source: documentation of Kubernetes, tasks/configure-pod-container/quality-service-pod.
test('a pod is Guaranteed if every container is limited to what it requests', () => {
  const full = { requests: both('700m', '200Mi'), limits: both('0.7', '200Mi') };
  assert.equal(classOf(full), 'Guaranteed');
  assert.equal(classOf(full, full), 'Guaranteed');
  assert.equal(classOf(full, {}), 'Burstable');
  assert.equal(
    qosClassOf({ containers: [{ resources: full }], initContainers: [{}] }),
    'Burstable',
    'init containers count',
  );
});

test('a pod is Burstable if it requests less than its limit, or names one resource', () => {
  assert.equal(
    classOf({ requests: { memory: '100Mi' }, limits: { memory: '200Mi' } }),
    'Burstable',
  );
  assert.equal(classOf({ requests: { cpu: '1' }, limits: { cpu: '1' } }), 'Burstable');
  assert.equal(classOf({}, { requests: { memory: '1Gi' } }), 'Burstable');
});

test('a pod is BestEffort if it requests and limits neither cpu nor memory', () => {
  assert.equal(classOf({}), 'BestEffort');
  assert.equal(
    classOf({ requests: { cpu: '0' }, limits: { 'example.com/gpu': '1' } }),
    'BestEffort',
  );
  assert.equal(qosClassOf({}), 'BestEffort');
});
