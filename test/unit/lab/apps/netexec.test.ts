import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, isIPv4 } from 'node:net';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { answerDatagram, answerHttp } from '../../../../lab/apps/netexec.ts';

const PROGRAM = fileURLToPath(import.meta.resolve('../../../../lab/apps/agnhost.ts'));

describe('over HTTP netexec', () => {
  let server: Server;
  let base: string;
  before(async () => {
    server = createServer(answerHttp);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const ask = async (path: string, headers: Record<string, string> = {}) =>
    (await fetch(base + path, { headers })).text();

  test('answers its host name under both spellings', async () => {
    assert.equal(await ask('/hostname'), hostname());
    assert.equal(await ask('/hostName'), hostname());
  });

  test("answers the client's address and port", async () => {
    const [address, port] = (await ask('/clientip')).split(':') as [string, string];
    assert.ok(isIPv4(address));
    assert.equal(address, '127.0.0.1');
    assert.ok(Number(port) > 0);
  });

  test('echoes any text', async () => {
    const message = 'a b&c=ü%';
    assert.equal(await ask(`/echo?msg=${encodeURIComponent(message)}`), message);
    assert.equal(await ask('/echo'), '');
  });

  test('answers a header of the request', async () => {
    assert.equal(await ask('/header?key=x-who', { 'x-who': 'me' }), 'me');
  });

  test('answers healthz, and 404 for unknown paths', async () => {
    assert.equal(await ask('/healthz'), 'ok');
    assert.equal((await fetch(`${base}/nothing`)).status, 404);
  });

  for (const [path, code] of [
    ['/exit?code=3', 3],
    ['/exit', 0],
    ['/shutdown', 0],
  ] as const) {
    test(`ends with ${code} on ${path}, after it has answered`, async (t) => {
      const left = Promise.withResolvers<number>();
      t.mock.method(process, 'exit', left.resolve);
      assert.equal(await ask(path), 'shutting down');
      assert.equal(await left.promise, code);
    });
  }
});

describe('over UDP netexec', () => {
  const client = { address: '10.244.1.9', port: 4711, family: 'IPv4' as const, size: 0 };
  const say = (text: string) => answerDatagram(Buffer.from(text), client)?.toString() ?? null;

  for (const [said, answer] of [
    ['hostname', hostname()],
    ['HOSTNAME\n', hostname()],
    ['clientip\n', '10.244.1.9:4711'],
    ['echo two words', 'two words'],
    ['echo', ''],
    ['', null],
    ['what?', null],
  ] as const) {
    test(`answers ${JSON.stringify(said)} with ${JSON.stringify(answer)}`, () => {
      assert.equal(say(said), answer);
    });
  }

  test('echoes bytes unchanged', () => {
    const bytes = Buffer.from([0, 255, 10, 128]);
    const message = Buffer.concat([Buffer.from('echo '), bytes]);
    assert.deepEqual(answerDatagram(message, client), bytes);
  });
});

for (const [args, said] of [
  [['netexec', '--http-port=0'], '--http-port takes a port from 1 to 65535, not 0\n'],
  [['netexec', '--http-port=http'], '--http-port takes a port from 1 to 65535, not http\n'],
  [['guestbook'], /^agnhost of the lab has no command guestbook: use one of connect, .*\n$/],
  [['connect', 'web'], 'connect takes HOST:PORT, not "web"\n'],
  [
    ['connect', '--timeout=soon', '127.0.0.1:1'],
    /^--timeout takes a duration such as 5s, not soon/,
  ],
  [['netexec', '--tls-port=1'], /^Unknown option '--tls-port'.*\n$/],
] as const) {
  test(`agnhost ${args.join(' ')} is refused in one line`, () => {
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    if (typeof said === 'string') assert.equal(stderr, said);
    else assert.match(stderr, said);
    assert.equal(status, 2);
  });
}
