import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { serveHealth } from '../../../../control/agent/healthz.ts';

test('a process lives before it is ready, and is asked for nothing else', async () => {
  let ready = false;
  const server = await serveHealth('127.0.0.1:0', () => ready);
  const { port } = server.address() as AddressInfo;
  const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
  assert.deepEqual([await ask('/livez'), await ask('/healthz'), await ask('/')], [200, 503, 404]);
  ready = true;
  assert.equal(await ask('/healthz'), 200);
  await assert.rejects(
    serveHealth(`127.0.0.1:${port}`, () => true),
    { code: 'KT_HEALTHZ', next: /kube-proxy/ },
  );
  server.closeAllConnections();
  server.close();
});
