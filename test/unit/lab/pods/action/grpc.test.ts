// Health checks against a server of the test that answers as each row says.
import assert from 'node:assert/strict';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer as createNetServer } from 'node:net';
import { after, before, test } from 'node:test';
import type { Container } from '../../../../../control/kube/kinds.ts';
import { grpcHealth } from '../../../../../lab/pods/action/grpc.ts';

const TIMEOUT_MS = 5000;

interface Answer {
  status?: string;
  message?: string;
  body?: number[];
  /** Without a body the status is in the headers. */
  trailersOnly?: boolean;
}

let server: Http2Server;
let answer: Answer;
let asked: { path: string; type: string; agent: string; body: Buffer };

before(async () => {
  server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const parts: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      const [path, type] = [headers[':path'], headers['content-type']];
      const agent = headers['user-agent'];
      asked = {
        ...{ path: `${path}`, type: `${type}`, agent: `${agent}` },
        body: Buffer.concat(parts),
      };
      const { status = '0', message = '', body = [], trailersOnly = false } = answer;
      const end = { 'grpc-status': status, ...(message && { 'grpc-message': message }) };
      const head = { ':status': 200, 'content-type': 'application/grpc' };
      if (trailersOnly) return void stream.respond({ ...head, ...end }, { endStream: true });
      stream.respond(head, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers(end));
      stream.end(Buffer.from([0, 0, 0, 0, body.length, ...body]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => server.close());

function check(port: number, service?: string, timeoutMs = TIMEOUT_MS) {
  return grpcHealth(
    { port, ...(service !== undefined && { service }) },
    {
      dial: (address, to) => connect(to, address),
      podIP: '127.0.0.1',
      container: { name: 'main' } as Container,
    },
    timeoutMs,
  );
}

const portOf = (of: { address(): unknown }) => (of.address() as AddressInfo).port;
const HEALTH = 'grpc health protocol (grpc.health.v1.Health)';

const ROWS: [what: string, answer: Answer, output: string][] = [
  ['SERVING', { body: [8, 1] }, ''],
  ['NOT_SERVING', { body: [8, 2] }, 'service unhealthy (responded with "NOT_SERVING")'],
  ['an empty message', {}, 'service unhealthy (responded with "UNKNOWN")'],
  [
    'a server without the service',
    { status: '12', message: 'unknown service', trailersOnly: true },
    `error: this server does not implement the ${HEALTH}: unknown service`,
  ],
  [
    'an unknown name',
    { status: '5', message: 'no%20such', trailersOnly: true },
    'error: health rpc probe failed: code = 5 desc = no such',
  ],
];
for (const [what, given, output] of ROWS) {
  test(`${what} is ${output === '' ? 'good' : 'bad'}`, async () => {
    answer = given;
    assert.deepEqual(await check(portOf(server)), { good: output === '', output });
  });
}

test('asks the health service by the name of a service', async () => {
  answer = { body: [8, 1] };
  await check(portOf(server), 'shop');
  assert.equal(asked.path, '/grpc.health.v1.Health/Check');
  assert.equal(asked.type, 'application/grpc');
  assert.match(asked.agent, /^kube-probe\//);
  assert.deepEqual([...asked.body], [0, 0, 0, 0, 6, 0x0a, 4, ...Buffer.from('shop')]);
  const long = 's'.repeat(300);
  await check(portOf(server), long);
  assert.deepEqual([...asked.body.subarray(0, 8)], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
  await check(portOf(server));
  assert.deepEqual([...asked.body], [0, 0, 0, 0, 0]);
});

test('a closed port, a server of another protocol and silence are bad', async () => {
  const other = createNetServer(
    (socket) => void socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  );
  const silent = createNetServer((socket) => void socket.on('error', () => {}).resume());
  for (const each of [other, silent]) {
    await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
  }
  assert.equal((await check(portOf(other))).good, false);
  const late = await check(portOf(silent), '', 200);
  assert.deepEqual(late, {
    good: false,
    output: 'timeout: health rpc did not complete within 0.2s',
  });
  const port = portOf(other);
  await new Promise((resolve) => other.close(resolve));
  silent.close();
  const closed = await check(port);
  assert.equal(closed.good, false);
  const failed = `error: failed to connect service at "127.0.0.1:${port}"`;
  const why = `dial tcp 127.0.0.1:${port}: connect: connection refused`;
  assert.equal(closed.output, `${failed}: ${why}`);
});
