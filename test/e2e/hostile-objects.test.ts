// Objects with which a single user could take every node down. Everything else continues, and
// their deletion leaves nothing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import type { ServiceDescription } from '../../control/sync/describe.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { collidingAddresses } from '../support/colliding.ts';
import {
  clientPod,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-objects';
const NODES = ['node1', 'node2'];
const BLOCKS = 30_000;
/** Second words of the keys: a prefix of 32 bits, and port 80 of TCP. */
const PREFIX_32 = 32;
const PORT_80_TCP = (80 << 8) | 6;

let lab: TestLab;
let pids: number[];

const pidOf = async (node: string) => (await askAgent<{ pid: number }>(NAME, node, '/status')).pid;

/** An egress policy for pods that do not exist. */
const policy = (cidrs: string[]) => ({
  ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  metadata: { namespace: 'default', name: 'hostile' },
  spec: {
    podSelector: { matchLabels: { app: 'absent' } },
    policyTypes: ['Egress'],
    egress: [{ to: cidrs.map((cidr) => ({ ipBlock: { cidr } })) }],
  },
});

const hostileService = (externalIPs: string[]) => ({
  ...{ apiVersion: 'v1', kind: 'Service' },
  metadata: { namespace: 'default', name: 'hostile' },
  spec: { selector: { app: 'web' }, externalIPs, ports: [{ port: 80, targetPort: 8080 }] },
});

/** Unicast addresses that collide in 25 bits of a public hash, which images once used. */
function colliding(second: number): string[] {
  const texts = collidingAddresses(128, second)
    .filter((address) => address >>> 0 < 0xe000_0000)
    .map(formatAddress)
    .filter((text) => !/^(0|10|127|169|172)\./.test(text));
  assert.ok(texts.length >= 66, `${texts.length} addresses`);
  return texts.slice(0, 66);
}

async function described(node: string): Promise<ServiceDescription | undefined> {
  const rows = await askAgent<ServiceDescription[]>(NAME, node, '/services');
  return rows.find(({ service }) => service.startsWith('default/hostile'));
}

/** Every agent is the original one and healthy; the pod client reaches the Service web. */
async function goesOn(): Promise<void> {
  assert.deepEqual(await Promise.all(NODES.map(pidOf)), pids, 'the same agents');
  for (const node of NODES) {
    const ask = ['curl', '-s', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}'];
    assert.equal(await lab.run(`node/${node}`, ...ask, 'http://127.0.0.1:10256/healthz'), '200');
  }
  const answer = await lab.run('client', 'curl', '-s', '-m', '5', 'http://10.96.0.20/hostname');
  assert.equal(answer.trim(), 'web1');
}

/** Waits until a new Service is served: every change before it has been compiled then. */
async function untilNewsArrives(name: string): Promise<void> {
  await lab.kube.create('Service', {
    metadata: { namespace: 'default', name },
    spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
  });
  await lab.untilEndpoints(`default/${name}:80`, 1, NODES);
  await lab.kube.delete('Service', { namespace: 'default', name });
}

describe('one hostile object', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      clientPod('client', 'node2'),
      serviceObject('web', {
        ...{ clusterIP: '10.96.0.20', selector: { app: 'web' } },
        ports: [{ port: 80, targetPort: 8080 }],
      }),
    ]);
    await lab.untilEndpoints('default/web:80', 1, NODES);
    pids = await Promise.all(NODES.map(pidOf));
  });
  after(() => lab?.down());

  test('a policy with 66 blocks that collide under a public hash delays nothing', async () => {
    const blocks = colliding(PREFIX_32).map((address) => `${address}/32`);
    await lab.kube.create('NetworkPolicy', policy(blocks));
    await untilNewsArrives('after-blocks');
    await goesOn();
    await lab.kube.delete('NetworkPolicy', { namespace: 'default', name: 'hostile' });
  });

  test('a Service with 66 external addresses that collide is served', async () => {
    const addresses = colliding(PORT_80_TCP);
    await lab.kube.create('Service', hostileService(addresses));
    await untilNewsArrives('after-addresses');
    for (const node of NODES) {
      const found = await described(node);
      const external = found!.frontends.filter(({ kind }) => kind === 'external');
      assert.deepEqual([external.length, found!.refused], [66, []], node);
    }
    await goesOn();
    await lab.kube.delete('Service', { namespace: 'default', name: 'hostile' });
  });

  test('a policy with 30,000 blocks delays no other change on its nodes', async () => {
    const blocks = Array.from({ length: BLOCKS }, (_, n) => formatAddress((1 << 28) | (n * 77)));
    await lab.kube.create('NetworkPolicy', policy(blocks.map((address) => `${address}/32`)));
    await untilNewsArrives('after-flood');
    await goesOn();
    await lab.kube.delete('NetworkPolicy', { namespace: 'default', name: 'hostile' });
  });

  test('the address of the API server is not captured, and the Service reports it', async () => {
    await lab.kube.create('Service', hostileService(['172.18.0.1']));
    await untilNewsArrives('after-capture');
    for (const node of NODES) {
      const { frontends, refused } = (await described(node))!;
      assert.deepEqual(
        frontends.map(({ kind }) => kind),
        ['cluster'],
        node,
      );
      assert.deepEqual(refused.length, 1, node);
      assert.match(
        refused[0]!,
        /^172\.18\.0\.1 is not captured: it is an address of the API server/,
      );
    }
    await until('the Service has an event', async () => {
      const { items } = await lab.kube.list('Event', { namespace: 'default' });
      return items.some(
        ({ reason, involvedObject: of }) => reason === 'AddressIgnored' && of?.name === 'hostile',
      );
    });
    await goesOn();
    await lab.kube.delete('Service', { namespace: 'default', name: 'hostile' });
    for (const node of NODES) {
      await until('it has gone', async () => (await described(node)) === undefined);
    }
  });
});
