// The Ingress controller of a lab: what a topology says of it, and its objects.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resolveProgram } from '../../../lab/pods/container/images.ts';
import type { LabRecord } from '../../../lab/state/record.ts';
import { ingressObjects, ingressReaders } from '../../../lab/supervisor/ingress.ts';
import { parseTopology } from '../../../lab/topology/load.ts';
import { parseYaml } from '../../../lab/yaml/document.ts';

const load = (text: string) => parseTopology(parseYaml(text, 'lab.yaml')[0]!).topology;

describe('the topology', () => {
  test('starts the controller with the first Ingress unless it says otherwise', () => {
    assert.equal('ingress' in load('nodes: 2'), false);
    assert.equal(load('ingress: true').ingress, true);
    assert.equal(load('ingress: false').ingress, false);
  });

  test('refuses another value', () => {
    const message = /^lab\.yaml:1: ingress must be true or false/;
    assert.throws(() => load('ingress: haproxy'), { message });
  });

  test('without Ingress has no account', () => {
    const topology = load('ingress: false');
    assert.deepEqual(ingressReaders({ lab: 'ut-ingress', topology } as LabRecord), []);
  });
});

describe('the objects', () => {
  // biome-ignore lint/suspicious/noExplicitAny: objects of several kinds.
  const objects = new Map<string, any>(ingressObjects({ token: 't' }));
  const { spec } = objects.get('Deployment');
  const [haproxy, controller] = spec.template.spec.containers;

  test('are a load balancer that keeps client addresses and two pods that it selects', () => {
    const service = objects.get('Service').spec;
    assert.deepEqual([service.type, service.externalTrafficPolicy], ['LoadBalancer', 'Local']);
    assert.deepEqual(service.selector, spec.template.metadata.labels);
    assert.equal(spec.replicas, 2);
    const ports = haproxy.ports.map(({ name }: { name: string }) => name);
    for (const { targetPort } of service.ports) assert.ok(ports.includes(targetPort));
  });

  test('share a folder, and only the controller has the account', () => {
    const mounts = (of: { volumeMounts: { name: string }[] }) =>
      of.volumeMounts.map(({ name }) => name);
    assert.deepEqual(mounts(haproxy), ['shared']);
    assert.deepEqual(mounts(controller), ['account', 'shared']);
  });

  test('give HAProxy time to leave load balancers and to end its connections', () => {
    const [, seconds] = haproxy.lifecycle.preStop.exec.command;
    assert.ok(spec.template.spec.terminationGracePeriodSeconds >= Number(seconds) + 30);
  });

  test('run built-in programs', () => {
    for (const { image, args } of [haproxy, controller]) {
      const program = resolveProgram({ image, args }, '/project');
      if ('reason' in program) assert.match(program.message, /haproxy on this machine/);
      else assert.match(program.argv[0]!, /^\/project\/lab\/apps\/ingress\/\w+\.sh$/);
    }
  });
});
