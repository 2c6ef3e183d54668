// Attacks on the applied state of a node, the gateway and an nftables node, one after another.
// Asserts what still works, that pod packets do not pass without rules, that health reports each
// attack, and that the agent repairs all of it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { askAgent } from '../../control/admin-client.ts';
import type { HealthReport } from '../../control/health/monitor.ts';
import type { ReconcileStatus } from '../../control/node/reconcile.ts';
import {
  clientPod,
  ON_CABLES,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';

const NAME = 'e2e-hostile';
const MENDED_MS = 10_000;
const UNHEALTHY_MS = 5000;
const INTERNET = '203.0.113.10';
let lab: TestLab;
let vip: string;
let server: string;

/** Polls for as long as a repair may take. */
const untilMended = (what: string, holds: () => Promise<boolean>) => until(what, holds, MENDED_MS);
const works = (target: string, ...command: string[]) => lab.succeeds(target, ...command);

const reaches = (client: string, url: string, seconds = 1) =>
  works(client, 'curl', '-sfo', '/dev/null', '-m', String(seconds), `http://${url}/hostname`);
const pings = (client: string) => works(client, 'ping', '-c1', '-W1', INTERNET);
const status = (place: string) => askAgent<ReconcileStatus>(NAME, place, '/steering');
const rulesOf = (place: string) => lab.run(place, 'ip', '-4', 'rule', 'show');

/** The agent of a place reports that it is healthy again. */
async function isRight(place: string): Promise<boolean> {
  const { missing } = await status(place);
  return missing.length === 0;
}

const healthOf = (place: string) => askAgent<HealthReport>(NAME, place, '/status');

/** How many times a part of an agent became unhealthy. It only grows, so no moment is missed. */
async function faultsOf(place: string): Promise<number> {
  const { faults } = await healthOf(place);
  return Object.values(faults).reduce((sum, count) => sum + count, 0);
}

/** Attacks a healthy place, and waits until its agent has been unhealthy. */
async function attack(place: string, target: string, command: string): Promise<void> {
  await untilMended('it is healthy', async () => (await healthOf(place)).healthy);
  const before = await faultsOf(place);
  await lab.run(target, 'sh', '-c', command);
  await until('it is unhealthy', async () => (await faultsOf(place)) > before, UNHEALTHY_MS);
}

function logOf(place: string): string {
  return readFileSync(`/run/kubetun/${NAME}/agents/${place}.log`, 'utf8');
}

before(() => {
  lab = startLab(
    NAME,
    [
      serverPod('web', 'node1'),
      clientPod('near', 'node1'),
      clientPod('far', 'node2'),
      serverPod('kernel', 'node3', { app: 'kernel' }),
      clientPod('twin', 'node3'),
      serviceObject('web', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] }),
    ],
    { nodes: [{ name: 'node1' }, { name: 'node2' }, { name: 'node3', proxy: 'nftables' }] },
  );
});
before(async () => {
  [vip, server] = [await lab.clusterIP('web'), await lab.podIP('web')];
  await lab.untilEndpoints('default/web:80', 1);
});
after(() => lab.down());

describe('a node repairs', () => {
  const attacks: Record<string, string> = {
    'routes that were flushed': 'ip route flush table 100',
    'a device that went down and up': 'ip link set kt0 down; ip link set kt0 up',
    'a device that was set down': 'ip link set kt0 down',
    'rules that were flushed': 'ip rule flush',
    'a device that was deleted': 'ip link del kt0',
    'the device of spoofed packets that was deleted': 'ip link del spoofed',
    'forwarding that was turned off': 'sysctl -qw net.ipv4.ip_forward=0',
    'a route that leads past the datapath': 'ip route add 10.244.0.0/16 dev eth0 table 100',
  };
  for (const [what, command] of Object.entries(attacks)) {
    test(what, command.includes('spoofed') ? ON_CABLES : {}, async () => {
      const rules = await rulesOf('node/node1');
      const { okAtMs } = await status('node1');
      await attack('node1', 'node/node1', command);
      await untilMended(
        'the agent has checked again',
        async () => (await status('node1')).okAtMs > okAtMs,
      );
      await untilMended('both clients reach the Service', async () => {
        const reached = [await reaches('near', vip), await reaches('far', vip)];
        return reached.every(Boolean) && (await isRight('node1'));
      });
      assert.equal(await rulesOf('node/node1'), rules);
      assert.ok(await reaches('near', `${server}:8080`), 'and a pod of its own node');
      assert.ok(await pings('near'), 'and the internet');
    });
  }
});

test("pod packets do not pass while only the kernel's default rules exist", async () => {
  const { pid } = await askAgent<{ pid: number }>(NAME, 'node1', '/status');
  const node = await lab.podIP('near');
  assert.ok(await reaches('near', `${server}:8080`));
  process.kill(pid, 'SIGSTOP');
  try {
    await lab.run(
      'node/node1',
      'sh',
      '-c',
      'ip rule flush; for r in "0 lookup local" "32766 lookup main" "32767 lookup default"; do ip rule add pref $r 2>/dev/null || true; done',
    );
    assert.equal((await rulesOf('node/node1')).trim().split('\n').length, 3);
    for (const to of [`${server}:8080`, vip]) {
      assert.ok(!(await reaches('near', to)), `from a pod of the node to ${to}`);
      assert.ok(!(await reaches('far', to)), `from another node to ${to}`);
    }
    assert.ok(!(await pings('near')), 'the internet');
    assert.ok(!(await works('node/node1', 'ping', '-c1', '-W1', node)), 'from the node to its pod');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await untilMended('pods reach each other', () => reaches('near', `${server}:8080`));
});

/**
 * A pod's packets with another pod's source, plain or with a VLAN tag, do not reach a server on its
 * node.
 */
async function assertSpoofingHeld(from: string, to: string): Promise<void> {
  const [stranger, address] = [await lab.podIP('far'), await lab.podIP(to)];
  const capture = lab.start(to, ['timeout', '30', 'tcpdump', '-lnpi', 'eth0', 'udp port 8081']);
  await new Promise((resolve) => capture.child.stderr!.once('data', resolve));
  const script = `${import.meta.dirname}/clients/tagged.py`;
  await lab.run(from, '/usr/bin/python3', script, stranger, address);
  await lab.run(from, 'bash', '-c', `echo hostname > /dev/udp/${address}/8081`);
  // This packet was sent last, on the same cable.
  await until('its own packet arrives', () => / > [0-9.]+\.8081/.test(capture.output()));
  assert.ok(!capture.output().includes(`${stranger}.4321`), capture.output());
  capture.child.kill();
}

test(
  "a frame with VLAN id 0 and another pod's source does not leave its cable",
  ON_CABLES,
  async () => {
    const before = await lab.counters('node1');
    await assertSpoofingHeld('near', 'web');
    const after = await lab.counters('node1');
    assert.ok(after.spoofed! > before.spoofed!, 'and is counted');
  },
);

/**
 * An attack on the filters of a client's cable is repaired; `peer` is a server beside that client.
 */
async function assertFiltersMended(
  node: string,
  [client, peer]: readonly [string, string],
  attack: (link: string) => string,
): Promise<void> {
  const place = `node/${node}`;
  const ways = ['ip', 'route', 'show', 'table', '102', await lab.podIP(client)];
  const link = / dev (\S+)/.exec(await lab.run(place, ...ways))![1]!;
  // Without handles and numbers of actions.
  const filtersOf = async () =>
    (await lab.run(place, 'tc', 'filter', 'show', 'dev', link, 'ingress')).replace(
      / fh \S+| key ht \S+|index \d+/g,
      '',
    );
  const filters = await filtersOf();
  const { okAtMs } = await status(node);
  await lab.run(place, 'sh', '-c', attack(link));
  await untilMended('the filters are back', async () => (await filtersOf()) === filters);
  await untilMended(
    'the agent has checked again',
    async () => (await status(node)).okAtMs > okAtMs,
  );
  await untilMended('the agent is content', () => isRight(node));
  await assertSpoofingHeld(client, peer);
}

// On both nodes at once: an agent checks filters every few seconds.
describe('the filters on the cables of pods are repaired', { concurrency: 2 }, () => {
  const attacks: Record<string, (link: string) => string> = {
    'a qdisc that was deleted': (link) => `tc qdisc del dev ${link} clsact`,
    'a filter that was deleted': (link) => `tc filter del dev ${link} ingress pref 3`,
    'a filter that passes everything': (link) =>
      `tc filter add dev ${link} ingress protocol ip pref 1 u32 match u32 0 0 classid 1:1`,
    'a device that was recreated': () =>
      'ip link del spoofed; ip tuntap add mode tun name spoofed vnet_hdr; ip link set spoofed up',
    'a device that was deleted': () => 'ip link del spoofed',
  };
  const clients = { node1: ['near', 'web'], node3: ['twin', 'kernel'] } as const;
  for (const [node, pods] of Object.entries(clients)) {
    describe(node, { concurrency: 1 }, () => {
      for (const [what, attack] of Object.entries(attacks)) {
        test(`${what}, on ${node}`, node === 'node1' ? ON_CABLES : {}, () =>
          assertFiltersMended(node, pods, attack),
        );
      }
    });
  }
});

describe('the gateway repairs', () => {
  const attacks: Record<string, string> = {
    'rules that were flushed': 'ip rule flush',
    'routes that were flushed': 'ip route flush table 100',
    'a device that was deleted': 'ip link del kt0',
  };
  for (const [what, command] of Object.entries(attacks)) {
    test(what, async () => {
      await attack('cloud', 'cloud', command);
      await untilMended('a pod reaches the internet', () => pings('near'));
      await untilMended('the agent is content', () => isRight('cloud'));
    });
  }
});

describe('the nftables node repairs', () => {
  const replaced = (verbs: string[]) => `printf '${verbs.join('\\n')}' | nft -f -`;
  const chain = 'ip kubetun nat-prerouting';
  const attacks: Record<string, () => string> = {
    // The number of rules stays the same.
    'rules that were replaced': () =>
      replaced([`flush chain ${chain}`, ...['', ''].map(() => `add rule ${chain} accept`)]),
    'an element that was replaced': () => {
      const element = `${vip} . tcp . 80`;
      return replaced([
        `delete element ip kubetun frontends { ${element} }`,
        `add element ip kubetun frontends { ${element} : accept }`,
      ]);
    },

    'a ruleset that was flushed': () => 'nft flush ruleset',
    'a chain that was emptied': () => 'nft flush chain ip kubetun nat-prerouting',
    'elements that were removed': () => 'nft flush map ip kubetun frontends',
    'rules that were flushed': () => 'ip rule flush',
  };
  for (const [what, command] of Object.entries(attacks)) {
    test(what, async () => {
      assert.ok(await reaches('twin', vip));
      await attack('node3', 'node/node3', command());
      await untilMended('a pod reaches the Service', () => reaches('twin', vip));
      await untilMended('the agent is content', () => isRight('node3'));
    });
  }
});

describe('a node whose InternalIP is patched', () => {
  const OTHER = '172.18.0.99';
  /** On node2, which has a datapath, and on node3, which has nftables. */
  const PODS = { node2: 'far', node3: 'twin' };
  const namedOf = (node: string) =>
    askAgent<{ addresses: object }>(NAME, node, '/status').then(({ addresses }) => addresses);
  const patch = (node: string, ...addresses: string[]) =>
    lab.kube.patch(
      ...(['Node', { name: node }] as const),
      { status: { addresses: addressesOf(node, addresses) } },
      'status',
    );
  const addressesOf = (node: string, internal: string[]) => [
    ...internal.map((address) => ({ type: 'InternalIP', address })),
    { type: 'ExternalIP', address: `198.51.100.1${node.at(-1)}` },
  ];

  for (const [node, pod] of Object.entries(PODS)) {
    const own = `172.18.0.1${node.at(-1)}`;

    test(`${node} keeps its address, and its pods the internet`, async () => {
      assert.ok(await pings(pod));
      await patch(node, OTHER);
      await untilMended('the agent logs the other address', async () =>
        logOf(node).includes(OTHER),
      );
      await untilMended('its pods reach the internet', () => pings(pod));
      // Outside the cluster's ranges, so that the pod is masqueraded.
      assert.ok(await works(pod, 'ping', '-c1', '-W1', '172.18.0.1'));
      assert.deepEqual(await namedOf(node), { steered: own, internalIP: OTHER });
      const events = await lab.kube.list('Event', { namespace: 'default' });
      const said = events.items.find(
        ({ involvedObject, reason }) =>
          involvedObject.name === node && reason === 'NodeAddressDiffers',
      );
      assert.match(said?.message ?? '', new RegExp(`${OTHER}.*${own}`));
      assert.ok(await pings(pod));
    });

    test(`${node} keeps its address without InternalIP; the report ends once both agree`, async () => {
      await patch(node);
      await untilMended('the agent reports that there is no InternalIP', async () =>
        JSON.stringify(await namedOf(node)).includes('null'),
      );
      await untilMended('its pods reach the internet', () => pings(pod));
      await patch(node, own);
      await untilMended('the two addresses agree', async () => {
        const { metadata } = await lab.kube.get('Node', { name: node });
        return metadata?.annotations?.['kubetun.dev/steered-address'] === undefined;
      });
      assert.deepEqual(await namedOf(node), { steered: own, internalIP: own });
      assert.ok(await pings(pod));
    });
  }
});
