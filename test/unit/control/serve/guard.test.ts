import assert from 'node:assert/strict';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { guardRequests, guardServer, guardUpgrades } from '../../../../control/serve/guard.ts';

const failures: string[] = [];
const note = (error: unknown, what: string) => failures.push(`${what}: ${String(error)}`);
let server: Server;
afterEach(() => {
  server.close();
  server.closeAllConnections();
  failures.length = 0;
});

async function serve(handler: Parameters<typeof guardRequests>[0]): Promise<string> {
  server = guardServer(createServer(guardRequests(handler, note)), note);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const failSoon = async () => {
  await null;
  throw new Error('spawn EMFILE');
};
const fail = () => {
  throw new Error('spawn EMFILE');
};

for (const [what, handler] of [
  ['throws', fail],
  ['rejects', failSoon],
] as const) {
  test(`a handler that ${what} answers 500, and the server goes on`, async () => {
    const url = await serve((request, response) =>
      request.url === '/ok' ? void response.end('ok') : handler(),
    );
    const response = await fetch(`${url}/steering`);
    assert.deepEqual([response.status, await response.json()], [500, { error: 'spawn EMFILE' }]);
    assert.equal(await (await fetch(`${url}/ok`)).text(), 'ok');
    assert.deepEqual(failures, ['GET /steering: Error: spawn EMFILE']);
  });
}

test('an answer that has begun is cut off, so that it does not look complete', async () => {
  const url = await serve((_request, response) => {
    response.write('half');
    throw new Error('torn');
  });
  await assert.rejects(fetch(url).then((response) => response.text()));
});

test('an upgrade handler that throws answers 500', async () => {
  const url = await serve((_request, response) => void response.end());
  server.on('upgrade', guardUpgrades(fail, note));
  const headers = { connection: 'upgrade', upgrade: 'websocket' };
  const status = await new Promise((resolve, reject) => {
    const call = request(url, { headers }, (response) => resolve(response.statusCode));
    call.on('error', reject).end();
  });
  assert.equal(status, 500);
  assert.equal(failures.length, 1);
});

test('a failed accept is noted, and the server goes on', async () => {
  const url = await serve((_request, response) => void response.end('ok'));
  server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
  assert.equal(await (await fetch(url)).text(), 'ok');
  assert.deepEqual(failures, ['accepting a connection: Error: accept EMFILE']);
});
