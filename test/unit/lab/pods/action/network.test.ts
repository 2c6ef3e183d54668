import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ensureCredentials } from '../../../../../control/apiserver/http/credentials.ts';
import { grpcHealth } from '../../../../../lab/pods/action/grpc.ts';
import {
  type Dialer,
  httpGet,
  resolvePort,
  tcpSocket,
} from '../../../../../lab/pods/action/network.ts';

const TIMEOUT_MS = 5000;
let server: Server;
let port: number;
let last: IncomingMessage;

before(async () => {
  server = createServer((request, response) => {
    last = request;
    if (request.url === '/hangs') return;
    response.statusCode = Number(request.url!.slice(1, 4)) || 200;
    response.end('said');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
after(() => server.close());

function dialer(): Dialer {
  return {
    podIP: '127.0.0.1',
    dial: (address, to) => connect(to, address),
    container: { name: 'main', ports: [{ name: 'web', containerPort: port }] },
  };
}

for (const [status, good] of [
  [200, true],
  [302, true],
  [399, true],
  [400, false],
  [503, false],
] as const) {
  test(`an answer of ${status} is ${good ? 'good' : 'bad'}`, async () => {
    const result = await httpGet({ path: `/${status}`, port }, dialer(), TIMEOUT_MS);
    assert.equal(result.good, good);
    if (!good) assert.equal(result.output, `HTTP probe failed with statuscode: ${status}`);
  });
}

test('sends the request to the named port with the given headers', async () => {
  const httpHeaders = [
    { name: 'Host', value: 'shop.example' },
    { name: 'X-Probe', value: 'yes' },
  ];
  const { good } = await httpGet(
    { path: 'health?a=b', port: 'web', httpHeaders },
    dialer(),
    TIMEOUT_MS,
  );
  assert.equal(good, true);
  assert.equal(last.url, '/health?a=b');
  assert.equal(last.headers.host, 'shop.example');
  assert.equal(last.headers['x-probe'], 'yes');
  assert.match(last.headers['user-agent']!, /^kube-probe\//);
});

test('fails if the server does not answer in time', async () => {
  const result = await httpGet({ path: '/hangs', port }, dialer(), 50);
  const late = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  const output = `Get "http://127.0.0.1:${port}/hangs": ${late}`;
  assert.deepEqual(result, { good: false, output });
});

test('HTTPS fails without TLS', async () => {
  const { good, output } = await httpGet({ scheme: 'HTTPS', port }, dialer(), TIMEOUT_MS);
  assert.equal(good, false);
  const why = 'tls: first record does not look like a TLS handshake';
  assert.equal(output, `Get "https://127.0.0.1:${port}/": ${why}`);
});

test('HTTPS accepts any certificate', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-probe-'));
  const { key, cert } = ensureCredentials(folder, ['other.example']);
  const secure = createTlsServer({ key, cert }, (_request, response) => response.end('ok'));
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
  try {
    const to = (secure.address() as AddressInfo).port;
    const result = await httpGet({ scheme: 'HTTPS', port: to }, dialer(), TIMEOUT_MS);
    assert.deepEqual(result, { good: true, output: '' });
  } finally {
    secure.close();
    rmSync(folder, { recursive: true });
  }
});

test('a port without a listener fails for HTTP, HTTPS and TCP', async () => {
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const free = (closed.address() as AddressInfo).port;
  await new Promise((resolve) => closed.close(resolve));
  for (const result of [
    httpGet({ port: free }, dialer(), TIMEOUT_MS),
    httpGet({ port: free, scheme: 'HTTPS' }, dialer(), TIMEOUT_MS),
    tcpSocket({ port: free }, dialer(), TIMEOUT_MS),
  ]) {
    const { good, output } = await result;
    assert.equal(good, false);
    assert.ok(output.endsWith(`dial tcp 127.0.0.1:${free}: connect: connection refused`), output);
  }
});

/** A dial that ends with an error of the system, as Node reports it. */
function failing(code: string, syscall: string): Dialer {
  const dial = () => {
    const socket = new Socket();
    const message = `${syscall} ${code} 10.244.1.2:80 - Local (0.0.0.0:0)`;
    process.nextTick(() => socket.destroy(Object.assign(new Error(message), { code, syscall })));
    return socket;
  };
  return { ...dialer(), podIP: '10.244.1.2', dial };
}

const FAILURES: [code: string, syscall: string, why: string][] = [
  ['EHOSTUNREACH', 'connect', 'dial tcp 10.244.1.2:80: connect: no route to host'],
  ['ENETUNREACH', 'connect', 'dial tcp 10.244.1.2:80: connect: network is unreachable'],
  ['ECONNREFUSED', 'connect', 'dial tcp 10.244.1.2:80: connect: connection refused'],
  ['ETIMEDOUT', 'connect', 'dial tcp 10.244.1.2:80: connect: connection timed out'],
  ['ECONNRESET', 'read', 'read tcp 10.244.1.2:80: read: connection reset by peer'],
];
for (const [code, syscall, why] of FAILURES) {
  test(`${syscall} ${code} has the words of a kubelet`, async () => {
    const of = failing(code, syscall);
    const http = await httpGet({ port: 80, path: '/a' }, of, TIMEOUT_MS);
    assert.equal(http.output, `Get "http://10.244.1.2:80/a": ${why}`);
    assert.equal((await tcpSocket({ port: 80 }, of, TIMEOUT_MS)).output, why);
    const grpc = await grpcHealth({ port: 80 }, of, TIMEOUT_MS);
    const before =
      syscall === 'connect'
        ? 'error: failed to connect service at "10.244.1.2:80"'
        : 'error: health rpc probe failed';
    assert.equal(grpc.output, `${before}: ${why}`);
  });
}

test('a dial without an answer is an i/o timeout', async () => {
  const dial = () => Object.assign(new Socket(), { connecting: true });
  const of = { ...dialer(), podIP: '10.244.1.2', dial };
  const timeout = 'dial tcp 10.244.1.2:80: i/o timeout';
  assert.equal((await tcpSocket({ port: 80 }, of, 10)).output, timeout);
  const late = '(Client.Timeout exceeded while awaiting headers)';
  const http = await httpGet({ port: 80 }, of, 10);
  assert.equal(http.output, `Get "http://10.244.1.2:80/": ${timeout} ${late}`);
  const grpc = await grpcHealth({ port: 80 }, of, 10);
  const failed = 'timeout: failed to connect service "10.244.1.2:80" within 0.01s';
  assert.equal(grpc.output, `${failed}: context deadline exceeded`);
});

test('a server that hangs up is an EOF', async () => {
  const rude = createTcpServer((socket) => socket.end());
  await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve));
  const to = (rude.address() as AddressInfo).port;
  try {
    const { output } = await httpGet({ port: to }, dialer(), TIMEOUT_MS);
    assert.equal(output, `Get "http://127.0.0.1:${to}/": EOF`);
  } finally {
    rude.close();
  }
});

test('a port with a listener is good for TCP', async () => {
  const result = await tcpSocket({ port: 'web', host: 'localhost' }, dialer(), TIMEOUT_MS);
  assert.deepEqual(result, { good: true, output: '' });
});

test('reports an unknown port and a host that is not an address', async () => {
  const unknown = await tcpSocket({ port: 'none' }, dialer(), TIMEOUT_MS);
  assert.deepEqual(unknown, { good: false, output: 'container has no port none' });
  const named = await httpGet({ port, host: 'shop.example' }, dialer(), TIMEOUT_MS);
  assert.match(named.output, /shop\.example is not an IPv4 address/);
});

test('a port is a number, a number as text, or a name of the same container', () => {
  const { container } = dialer();
  assert.equal(resolvePort(80, container), 80);
  assert.equal(resolvePort('80', container), 80);
  assert.equal(resolvePort('web', container), port);
  assert.equal(resolvePort('other', container), null);
  assert.equal(resolvePort(70_000, container), null);
});
