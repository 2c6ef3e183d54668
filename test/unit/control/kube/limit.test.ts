import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromLab } from '../../../../control/explain/source.ts';
import { connectKube } from '../../../../control/kube/client.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-limit-'));
const runDirBefore = process.env.KUBETUN_RUN_DIR;
const sockets = new Set<Socket>();
/** The bytes that the server sends before it stops answering. */
let first = '';

const server = createServer((socket) => {
  sockets.add(socket);
  socket.on('error', () => {});
  if (first !== '') socket.write(first);
});

function kubeconfig(path: string, protocol: 'http' | 'https', of = server): string {
  const { port } = of.address() as AddressInfo;
  const to = `{server: "${protocol}://127.0.0.1:${port}", insecure-skip-tls-verify: true}`;
  writeFileSync(
    path,
    `clusters: [{name: c, cluster: ${to}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
  );
  return path;
}

before(async () => {
  process.env.KUBETUN_RUN_DIR = folder;
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});

after(async () => {
  if (runDirBefore === undefined) delete process.env.KUBETUN_RUN_DIR;
  else process.env.KUBETUN_RUN_DIR = runDirBefore;
  for (const socket of sockets) socket.destroy();
  await new Promise((done) => server.close(done));
  rmSync(folder, { recursive: true });
});

const HALF =
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"items"';

for (const [what, protocol, said] of [
  ['before the TLS handshake', 'https', ''],
  ['before the head of an answer', 'http', ''],
  ['in the middle of an answer', 'http', HALF],
] as const) {
  test(`a client with a limit ends a request to a server that stops ${what}`, async () => {
    first = said;
    const path = kubeconfig(join(folder, 'config'), protocol);
    const client = connectKube(path, {}, { msMax: 200, next: 'look at the server' });
    await assert.rejects(client.list('Node'), {
      code: 'KT_KUBE_UNREACHABLE',
      message: `the API server at ${client.server} has not answered within 0.2 s`,
      next: 'look at the server',
    });
    client.close();
  });
}

test('a client with a limit gives its own next step for an ended server', async () => {
  const gone = createServer();
  await new Promise<void>((done) => gone.listen(0, '127.0.0.1', done));
  const path = kubeconfig(join(folder, 'gone'), 'http', gone);
  await new Promise((done) => gone.close(done));
  const client = connectKube(path, {}, { msMax: 5000, next: 'look at the server' });
  await assert.rejects(client.list('Node'), {
    message: `the API server at ${client.server} does not answer (ECONNREFUSED)`,
    next: 'look at the server',
  });
});

test('explain names the API server that does not answer, and the command that shows why', async () => {
  first = '';
  mkdirSync(join(folder, 'quiet'));
  kubeconfig(join(folder, 'quiet', 'kubeconfig'), 'https');
  const { port } = server.address() as AddressInfo;
  await assert.rejects(
    fromLab('quiet', () => null),
    {
      code: 'KT_KUBE_UNREACHABLE',
      message: `the API server at https://127.0.0.1:${port} has not answered within 5 s`,
      next: 'scripts/kubetun lab status --lab quiet shows whether its supervisor runs',
    },
  );
});
