import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type StreamServer, serveStreams } from '../../../../../lab/pods/stream/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-streams-'));
const socketPath = join(folder, 'pods.socket');
const failures: unknown[] = [];
let server: StreamServer;

before(async () => {
  server = await serveStreams(socketPath, folder, (error) => failures.push(error));
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

function ask(path: string, headers = {}): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.on('error', reject).end();
  });
}

const UPGRADE = { connection: 'upgrade', upgrade: 'websocket' };

for (const path of ['/log/%E0%A4%A/x', '//', '/log/%', '/exec/default/%ff']) {
  test(`answers the path ${path} with 400 and goes on`, async () => {
    assert.equal(await ask(path), 400);
    assert.equal(await ask(path, UPGRADE), 400);
    assert.equal(await ask('/exec/default/web'), 400);
    assert.deepEqual(failures, []);
  });
}
