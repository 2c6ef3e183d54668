// Translation keeps ICMP errors, path MTU and checksums right.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { namespaceOf, podLink } from '../../lab/places/names.ts';
import {
  clientPod,
  HAS_CABLES,
  iperfPod,
  type Running,
  serverPod,
  serviceObject,
  startLab,
  type TestLab,
  until,
} from '../support/lab.ts';
import { SUMMED, wrongSums } from '../support/tshark.ts';

interface Echoed {
  sent: number;
  same: number;
  errors: Record<string, number>;
}
interface Iperf {
  end: { sum_sent: { bytes: number }; sum_received: { bytes: number } };
}

const INTERNET = '203.0.113.10';
const NAME = 'e2e-nat';
const SMALL = 1280;
let lab: TestLab;

/** Sets the MTU of a link in a namespace of the lab. */
function setMtu(place: string, link: string, mtu: number): void {
  const args = ['-n', namespaceOf(NAME, place), 'link', 'set', link, 'mtu', String(mtu)];
  assert.equal(spawnSync('ip', args).status, 0);
}

/**
 * Bytes received of 32 MiB; `-R` reverses the direction. The last ones may be in transit when
 * iperf3 stops counting.
 */
async function transfer(from: string, address: string, port: number, ...more: string[]) {
  const flags = ['-n', '32M', '-J', '--connect-timeout', '3000', ...more];
  const text = await lab.run(from, 'iperf3', '-c', address, '-p', String(port), ...flags);
  return (JSON.parse(text) as Iperf).end.sum_received.bytes;
}

describe('translation', () => {
  before(async () => {
    lab = startLab(NAME, [
      serverPod('web1', 'node1'),
      serverPod('web2', 'node2'),
      iperfPod('iperf', 'node2'),
      clientPod('client', 'node1'),
      serviceObject('web', {
        type: 'NodePort',
        selector: { app: 'web' },
        ports: [
          { name: 'http', port: 80, targetPort: 8080, nodePort: 30_001 },
          { name: 'udp', port: 81, protocol: 'UDP', targetPort: 8081 },
          { name: 'closed', port: 90, protocol: 'UDP', targetPort: 9 },
          { name: 'closed-tcp', port: 91, targetPort: 9 },
        ],
      }),
      serviceObject('iperf', {
        type: 'NodePort',
        selector: { app: 'iperf' },
        ports: [{ port: 5201, nodePort: 30_002 }],
      }),
    ]);
    await lab.untilEndpoints('default/web:http', 2);
    await lab.untilEndpoints('default/iperf:5201', 1);
  });
  after(() => lab.down());

  test("a backend's port unreachable reaches the client from the ClusterIP", async () => {
    const address = await lab.clusterIP('web');
    for (const from of ['client', 'node/node2']) {
      const { errors } = await lab.client<Echoed>(from, 'udp', address, 90, 10, 4);
      assert.deepEqual(errors, { ECONNREFUSED: 4 });
    }
  });

  test("a backend's reset reaches the client of a ClusterIP", async () => {
    const address = await lab.clusterIP('web');
    const { errors } = await lab.client<{ errors: object }>('client', 'connect', address, 91, 4);
    assert.deepEqual(errors, { ECONNREFUSED: 4 });
  });

  test('an unreachable from the internet reaches the pod behind the masquerade', async () => {
    const { errors } = await lab.client<Echoed>('client', 'udp', INTERNET, 9, 10, 3);
    assert.deepEqual(errors, { ECONNREFUSED: 3 });
  });

  test("time exceeded at a later hop reaches the pod, with that router's address", async () => {
    // The node is one hop; the second is the cloud.
    const { stdout } = await lab.start('client', ['ping', '-c1', '-W3', '-t2', INTERNET]).done;
    assert.match(stdout, /From 172\.18\.0\.2 .*Time to live exceeded/);
  });

  describe('path MTU with a later hop of 1280 bytes', () => {
    let server: Running;
    before(async () => {
      // The near end only: with both, TCP's ends would agree on small segments.
      setMtu('cloud', 'eth1', SMALL);
      server = lab.start('internet', ['iperf3', '-s']);
      await until('iperf3 listens in the internet', async () => {
        const { stdout } = await lab.start('internet', ['ss', '-ltn']).done;
        return stdout.includes(':5201');
      });
    });
    after(async () => {
      server.child.kill();
      await server.done;
      setMtu('cloud', 'eth1', 1500);
      setMtu('internet', 'eth0', 1500);
    });

    test('masqueraded: a pod sends to the internet', async () => {
      assert.ok((await transfer('client', INTERNET, 5201)) >= 16e6);
      const route = await lab.run('client', 'ip', 'route', 'get', INTERNET);
      assert.match(route, /mtu 1280/, 'the pod has learned it');
    });

    test('NodePort: a pod sends to a client in the internet', async () => {
      // Through the node without such a pod.
      assert.ok((await transfer('internet', '198.51.100.11', 30_002, '-R')) >= 16e6);
    });

    test('UDP of 2000 bytes to the internet, in fragments of the learned size', async () => {
      // Replies are as large: the far end's cable would drop them otherwise.
      setMtu('internet', 'eth0', SMALL);
      const { same } = await lab.client<Echoed>('client', 'udp', INTERNET, 8081, 2000, 4);
      // The first datagram may be lost: its sender learns the MTU from it.
      assert.ok(same >= 3, `${same} of 4`);
    });
  });

  test("tshark finds no wrong checksum on the TUN and on a pod's cable, where sums are full", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'kubetun-pcap-'));
    // The cloud checks the node's health.
    for (const place of ['client', 'web1', 'web2', 'cloud']) {
      await lab.run(place, 'ethtool', '-K', 'eth0', 'tx', 'off', 'tso', 'off', 'gso', 'off');
    }
    const links = ['kt0', ...(HAS_CABLES ? [podLink('default', 'client')] : [])];
    const captures = links.map((link) => {
      const flags = ['-U', '-ni', link, '-w', join(folder, link), SUMMED];
      return lab.start('node/node1', ['tcpdump', '-Z', 'root', ...flags]);
    });
    await new Promise((resolve) => setTimeout(resolve, 700));
    const address = await lab.clusterIP('web');
    await lab.client('client', 'connect', address, 80, 50, 5);
    await lab.client('client', 'udp', address, 81, 100, 20);
    await lab.client('client', 'udp', address, 90, 10, 4);
    await lab.run('client', 'ping', '-c3', '-i0.2', await lab.podIP('web2'));
    await lab.client('web1', 'connect', address, 80, 20, 5);
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const { child } of captures) child.kill('SIGTERM');
    await Promise.all(captures.map(({ done }) => done));
    for (const link of links) {
      const { all, bad } = wrongSums(join(folder, link));
      t.diagnostic(`${link}: ${all} packets, ${bad.length} of them wrong`);
      assert.ok(all > 300, `${link}: only ${all} packets`);
      assert.deepEqual(bad, []);
    }
    rmSync(folder, { recursive: true });
  });
});
