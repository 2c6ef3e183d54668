import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { declaredPorts, listeningPorts } from '../../../../../lab/pods/sandbox/listening.ts';

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

test('the ports that a container declares are those of TCP', () => {
  const ports = [
    { containerPort: 80 },
    { containerPort: 53, protocol: 'UDP' },
    { containerPort: 53, protocol: 'TCP' },
  ];
  assert.deepEqual(declaredPorts({ name: 'main', ports }), [80, 53]);
  assert.deepEqual(declaredPorts({ name: 'main' }), []);
});
