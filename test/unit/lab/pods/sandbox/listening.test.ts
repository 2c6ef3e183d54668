import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { declaredPorts, listeningPorts } from '../../../../../lab/pods/sandbox/listening.ts';

test('a port is listening while it has a listener', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  assert.ok(listeningPorts(process.pid).has(port));
  await new Promise((resolve) => server.close(resolve));
  assert.ok(!listeningPorts(process.pid).has(port));
});

test('an ended process has no listening ports', () => {
  assert.deepEqual(listeningPorts(2 ** 30), new Set());
});

test('declared ports are TCP ports only', () => {
  const ports = [
    { containerPort: 80 },
    { containerPort: 53, protocol: 'UDP' },
    { containerPort: 53, protocol: 'TCP' },
  ];
  assert.deepEqual(declaredPorts({ name: 'main', ports }), [80, 53]);
  assert.deepEqual(declaredPorts({ name: 'main' }), []);
});
