import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { listeningPorts } from '../../../../lab/pods/listening.ts';
import { resolverText } from '../../../../lab/pods/resolver.ts';

test('a port counts as listening as long as somebody listens on it', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  assert.ok(listeningPorts(process.pid).has(port));
  await new Promise((resolve) => server.close(resolve));
  assert.ok(!listeningPorts(process.pid).has(port));
});

test('a process that is gone listens on nothing', () => {
  assert.deepEqual(listeningPorts(2 ** 30), new Set());
});

test('a pod looks names up in its own namespace first', () => {
  assert.equal(
    resolverText('shop', '10.96.0.10'),
    [
      'nameserver 10.96.0.10',
      'search shop.svc.cluster.local svc.cluster.local cluster.local',
      'options ndots:5',
      '',
    ].join('\n'),
  );
});
