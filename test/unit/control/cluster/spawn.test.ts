import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  ensureCredentials,
  writeKubeconfig,
} from '../../../../control/apiserver/http/credentials.ts';
import type { ListenOn } from '../../../../control/cluster/server.ts';
import { spawnApiServer } from '../../../../control/cluster/spawn.ts';
import { connectKube } from '../../../../control/kube/client.ts';
import { KubetunError } from '../../../../datapath/error.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-api-'));
const pki = join(folder, 'pki');
const { ca, cert, key, token } = ensureCredentials(pki, ['127.0.0.1']);
after(() => rmSync(folder, { recursive: true }));

function spawn(listen: ListenOn[], deaths: Error[] = []) {
  const options = {
    journal: null,
    kubelet: null,
    ...{ listen, token, tls: { key, cert }, ca, serviceRange: '10.96.0.0/16' },
    ...{ nodePortMin: 30_000, nodePortMax: 32_767 },
    apiAddress: { address: '172.18.0.1', port: 6443 },
  };
  return spawnApiServer(options, (error) => deaths.push(error));
}

/** Names of the Services of the server on this port. */
async function servicesAt(port: number): Promise<string[]> {
  const kubeconfig = join(folder, `kubeconfig-${port}`);
  const server = `https://127.0.0.1:${port}`;
  writeKubeconfig(kubeconfig, { server, ca, token, name: 't', namespace: 'default' });
  const kube = connectKube(kubeconfig);
  const { items } = await kube.list('Service');
  kube.close();
  return items.map((item) => item.metadata?.name ?? '');
}

test('a server on a thread serves all its addresses and ends when it is asked to', async () => {
  const deaths: Error[] = [];
  const on = { host: '127.0.0.1', port: 0 };
  const server = await spawn([on, on], deaths);
  assert.equal(new Set(server.ports).size, 2);
  for (const port of server.ports) assert.deepEqual(await servicesAt(port), ['kubernetes']);
  await server.close();
  await assert.rejects(servicesAt(server.ports[0]!));
  assert.deepEqual(deaths, []);
});

test('a port in use rejects the start and does not count as a death', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  const deaths: Error[] = [];
  await assert.rejects(
    spawn([{ host: '127.0.0.1', port }], deaths),
    (error) => error instanceof KubetunError && error.code === 'KT_API_START',
  );
  assert.deepEqual(deaths, []);
  other.close();
});

test('credentials are created once, readable only by their owner', () => {
  assert.equal(ensureCredentials(pki, ['127.0.0.1']).token, token);
  for (const file of readdirSync(pki)) {
    assert.equal(statSync(join(pki, file)).mode & 0o777, 0o600, file);
  }
});
