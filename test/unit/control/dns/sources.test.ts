// The zone follows the objects of a real API server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bareAnswer } from '../../../../control/dns/record.ts';
import { followObjects } from '../../../../control/dns/sources.ts';
import { Zone } from '../../../../control/dns/zone.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';
import { ask, lines, makeResponder } from './world.ts';

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const programmed: number[] = [];
let api: TestApi;
let zone: Zone;
let stop: () => void;
before(async () => {
  api = await startTestApi();
  const clock = () => Date.parse('2026-01-01T00:00:10Z');
  zone = new Zone({ domain: 'cluster.local', pods: 'verified', ownAddresses: [], clock });
  const onProgrammed = (seconds: number) => programmed.push(seconds);
  stop = followObjects({ kube: api.kube, zone, log: silent, clock, onProgrammed });
});
after(async () => {
  stop();
  await api.close();
});

const forward = { ask: async () => bareAnswer(0) };

async function answer(name: string, type = 'A') {
  const { packet } = await ask(makeResponder(zone, forward), name, type);
  return { rcode: (packet as { rcode?: string }).rcode, answers: lines(packet.answers) };
}

async function untilAnswer(name: string, wanted: string[], rcode = 'NOERROR'): Promise<void> {
  const end = Date.now() + 20_000;
  let found = await answer(name);
  while (found.rcode !== rcode || found.answers.join() !== wanted.join()) {
    assert.ok(Date.now() < end, `${name}: ${JSON.stringify(found)}, expected ${wanted}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
    found = await answer(name);
  }
}

const WEB = 'web.default.svc.cluster.local';
const metadata = { namespace: 'default', name: 'web' };

test('answers SERVFAIL until all kinds have synced, and completely afterwards', async () => {
  assert.equal((await answer('kubernetes.default.svc.cluster.local')).rcode, 'SERVFAIL');
  const name = 'kubernetes.default.svc.cluster.local';
  await untilAnswer(name, [`${name} A 5 10.96.0.1`]);
});

test('a Service is created, becomes headless and is deleted', async () => {
  const spec = { clusterIP: '10.96.7.7', ports: [{ name: 'http', port: 80 }] };
  await api.kube.create('Service', { metadata, spec });
  await untilAnswer(WEB, [`${WEB} A 5 10.96.7.7`]);
  assert.deepEqual((await answer('7.7.96.10.in-addr.arpa', 'PTR')).answers, [
    `7.7.96.10.in-addr.arpa PTR 5 ${WEB}`,
  ]);
  await api.kube.delete('Service', metadata);
  await untilAnswer(WEB, [], 'NXDOMAIN');
  assert.deepEqual((await answer('7.7.96.10.in-addr.arpa', 'PTR')).answers, []);
  const headless = { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] };
  await api.kube.create('Service', { metadata, spec: headless });
  const slice = {
    metadata: {
      ...{ namespace: 'default', name: 'web-x', labels: { 'kubernetes.io/service-name': 'web' } },
      annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:08Z' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.1.1.1'] }, { addresses: ['10.1.1.2'], hostname: 'b' }],
  };
  await api.kube.create('EndpointSlice', slice);
  await untilAnswer(WEB, [`${WEB} A 5 10.1.1.1`, `${WEB} A 5 10.1.1.2`]);
  assert.deepEqual(programmed, [2]);
  const name = { namespace: 'default', name: 'web-x' };
  await api.kube.patch('EndpointSlice', name, { endpoints: [{ addresses: ['10.1.1.3'] }] });
  await untilAnswer(WEB, [`${WEB} A 5 10.1.1.3`]);
  assert.deepEqual((await answer('2.1.1.10.in-addr.arpa', 'PTR')).answers, []);
  await api.kube.delete('EndpointSlice', name);
  await untilAnswer(WEB, [], 'NXDOMAIN');
});

test('names of pods are verified, and end with their pods', async () => {
  const name = '10-1-2-3.default.pod.cluster.local';
  assert.equal((await answer(name)).rcode, 'NXDOMAIN');
  const pod = { namespace: 'default', name: 'p' };
  const containers = [{ name: 'main', image: 'pause' }];
  await api.kube.create('Pod', { metadata: pod, spec: { containers } });
  const status = { phase: 'Running', podIP: '10.1.2.3', podIPs: [{ ip: '10.1.2.3' }] };
  await api.kube.patch('Pod', pod, { status }, 'status');
  await untilAnswer(name, [`${name} A 5 10.1.2.3`]);
  await api.kube.delete('Pod', pod, { graceS: 0 });
  await untilAnswer(name, [], 'NXDOMAIN');
});

test('a namespace is created and deleted', async () => {
  const name = 'shop.svc.cluster.local';
  assert.equal((await answer(name)).rcode, 'NXDOMAIN');
  await api.kube.create('Namespace', { metadata: { name: 'shop' } });
  await untilAnswer(name, []);
  await api.kube.delete('Namespace', { name: 'shop' });
  await untilAnswer(name, [], 'NXDOMAIN');
});
