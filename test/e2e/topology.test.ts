// A lab with another topology file: names, zones, ranges, MTU and timeouts.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  clientPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const TOPOLOGY = {
  mtu: 1400,
  timeouts: { 'tcp-time-wait': 1000, icmp: 1 },
  nodes: [
    { name: 'left', zone: 'west', labels: { disk: 'ssd' } },
    { name: 'right', zone: 'east', podCIDR: '10.100.9.0/25' },
    { name: 'far', mtu: 1280 },
  ],
  ranges: {
    fabric: '192.168.40.0/24',
    pods: '10.100.0.0/16',
    services: '10.200.0.0/20',
    internet: '192.0.2.0/24',
  },
};
const INTERNET = '192.0.2.10';
let lab: TestLab;

describe('a topology file', () => {
  before(async () => {
    const objects = [
      serverPod('web', 'right'),
      serverPod('narrow', 'far', { app: 'narrow' }),
      clientPod('client', 'left'),
      serviceObject('web', {
        type: 'NodePort',
        selector: { app: 'web' },
        ports: [{ name: 'http', port: 80, targetPort: 'http', nodePort: 30_001 }],
      }),
    ];
    lab = startLab('e2e-topo', objects, TOPOLOGY);
    await lab.untilEndpoints('default/web:http', 1, ['left', 'right', 'far']);
  });
  after(() => lab.down());

  test('gives nodes their names, zones, labels and addresses', async () => {
    const nodes = (await lab.kube.list('Node')).items;
    const shown = nodes.map(({ metadata, spec, status }) => [
      metadata?.name,
      metadata?.labels?.['topology.kubernetes.io/zone'],
      metadata?.labels?.disk,
      spec?.podCIDR,
      status?.addresses?.[0]?.address,
    ]);
    assert.deepEqual(shown, [
      ['far', 'zone-a', undefined, '10.100.3.0/24', '192.168.40.13'],
      ['left', 'west', 'ssd', '10.100.1.0/24', '192.168.40.11'],
      ['right', 'east', undefined, '10.100.9.0/25', '192.168.40.12'],
    ]);
  });

  test('gives Services and pods addresses of its ranges, and sets the MTU', async () => {
    assert.match(await lab.clusterIP('web'), /^10\.200\./);
    assert.match(await lab.podIP('web'), /^10\.100\.9\./);
    for (const place of ['client', 'node/right']) {
      assert.match(await lab.run(place, 'ip', 'link', 'show', 'eth0'), /mtu 1400/);
    }
  });

  test('configures the datapath: ClusterIP, NodePort of a third node, masquerade', async () => {
    const ask = (from: string, url: string) => lab.run(from, 'curl', '-sm5', url);
    assert.equal(await ask('client', `http://${await lab.clusterIP('web')}/hostname`), 'web');
    assert.equal(await ask('internet', 'http://198.51.100.13:30001/hostname'), 'web');
    const seen = await ask('client', `http://${INTERNET}/clientip`);
    assert.equal(seen.split(':')[0], '198.51.100.11');
    const api = await lab.run('client', 'curl', '-skm5', 'https://10.200.0.1/healthz');
    assert.match(api, /Unauthorized/);
  });

  test('sets timeouts, which conntrack list shows', async () => {
    const web = await lab.clusterIP('web');
    const flows = (proto: string, dst: string) =>
      lab.json<{ state: string; timeoutS: number }[]>(
        ...['conntrack', 'list', '--node', 'left', '--proto', proto, '--dst', dst],
      );
    await lab.run('client', 'curl', '-sm5', `http://${web}/hostname`);
    const left = (await flows('tcp', web)).filter(({ state }) => state === 'TIME_WAIT');
    assert.ok(left.length > 0);
    for (const { timeoutS } of left) assert.ok(timeoutS > 120 && timeoutS <= 1000, `${timeoutS}`);
    const pod = await lab.podIP('web');
    await lab.run('client', 'ping', '-c1', '-W5', pod);
    // Within 20 s; the default of an echo is 30 s.
    await until('the echo is forgotten', async () => (await flows('icmp', pod)).length === 0);
  });

  test('may have a node with a smaller MTU: long datagrams reach it in fragments', async () => {
    for (const from of ['client', 'node/right']) {
      // The first datagram may be lost: the error that it causes tells its sender the MTU.
      const sent = [await lab.podIP('narrow'), 8081, 1370, 4] as const;
      const { same } = await lab.client<{ same: number }>(from, 'udp', ...sent);
      assert.ok(same >= 3, `${same} of 4 from ${from}`);
    }
  });
});
