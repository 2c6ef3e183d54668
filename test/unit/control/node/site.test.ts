import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { KubeClient } from '../../../../control/kube/client.ts';
import { KubeStatusError } from '../../../../control/kube/error.ts';
import { findSite, type SiteOptions } from '../../../../control/node/site.ts';
import { KubetunError } from '../../../../datapath/error.ts';
import { node } from '../model/objects.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-site-'));
after(() => rmSync(folder, { recursive: true }));
const MEMORY = join(folder, 'site');
const ASK: SiteOptions = { node: 'n1', serviceRange: null, podRanges: [] };
const NODES = [
  node('n1', '192.0.2.11', '10.244.1.0/24'),
  node('n2', '192.0.2.12', '10.250.7.0/24'),
];

/** A cluster with these Nodes. Without ranges a ServiceCIDR is refused with this status. */
function cluster(items: object[], cidrs?: string[], status = 404): KubeClient {
  return {
    list: async () => ({ items, resourceVersion: '1', continue: '' }),
    get: async () => {
      if (!cidrs) throw new KubeStatusError(status, {}, 'GET');
      return { spec: { cidrs } };
    },
  } as unknown as KubeClient;
}

const AWAY = {
  list: async () => {
    throw new KubetunError('KT_KUBE_UNREACHABLE', 'it is away', '');
  },
} as unknown as KubeClient;

test('address and ranges come from the Nodes and the ServiceCIDR', async () => {
  const client = cluster(NODES, ['fd00::/112', '10.100.0.0/16']);
  assert.deepEqual(await findSite(client, ASK, MEMORY), {
    address: '192.0.2.11',
    serviceRange: '10.100.0.0/16',
    podRanges: ['10.244.1.0/24', '10.250.7.0/24'],
    ownPodRanges: ['10.244.1.0/24'],
  });
});

test('the command line takes precedence, and its ranges absorb those inside them', async () => {
  const options = { ...ASK, serviceRange: '10.96.0.0/12', podRanges: ['10.244.0.0/16'] };
  const site = await findSite(cluster(NODES), options, MEMORY);
  assert.equal(site.serviceRange, '10.96.0.0/12');
  assert.deepEqual(site.podRanges, ['10.244.0.0/16', '10.250.7.0/24']);
  assert.deepEqual(site.ownPodRanges, ['10.244.0.0/16']);
});

test('ignores the address that an earlier agent steered', async () => {
  const named = node('n1', '192.0.2.11', '10.244.1.0/24');
  named.metadata!.annotations = { 'kubetun.dev/steered-address': '192.0.2.99' };
  const { address } = await findSite(cluster([named], ['10.96.0.0/16']), ASK, MEMORY);
  assert.equal(address, '192.0.2.11');
});

test('without API server it uses the last answer, or fails without one', async () => {
  const known = await findSite(cluster(NODES, ['10.96.0.0/16']), ASK, MEMORY);
  assert.deepEqual(await findSite(AWAY, ASK, MEMORY), known);
  await assert.rejects(findSite(AWAY, ASK, join(folder, 'none')), { code: 'KT_KUBE_UNREACHABLE' });
});

const bare = { metadata: { name: 'n1' } };
const REFUSALS: [string, object[], RegExp][] = [
  ['KT_NODE_UNKNOWN', NODES.slice(1), /--node.*n2/],
  ['KT_NODE_ADDRESS', [bare], /--node-ip/],
  ['KT_POD_RANGE', [{ ...bare, status: NODES[0]!.status }], /--pod-range/],
  ['KT_SERVICE_RANGE', NODES, /--service-range/],
];

for (const [code, items, next] of REFUSALS) {
  test(`an error about a missing value names its flag: ${code}`, async () => {
    await assert.rejects(findSite(cluster(items), ASK, MEMORY), { code, next });
  });
}

test('an account that may not read the ServiceCIDR needs --service-range', async () => {
  const refused = { code: 'KT_SERVICE_RANGE', message: /may not be read/, next: /--service-range/ };
  await assert.rejects(findSite(cluster(NODES, undefined, 403), ASK, MEMORY), refused);
  const options = { ...ASK, serviceRange: '10.100.0.0/16' };
  const { serviceRange } = await findSite(cluster(NODES, undefined, 403), options, MEMORY);
  assert.equal(serviceRange, '10.100.0.0/16');
  await assert.rejects(findSite(cluster(NODES, undefined, 500), ASK, MEMORY), {
    code: 'KT_KUBE_500',
  });
});
