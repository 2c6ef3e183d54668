import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectKube } from '../../../../control/kube/client.ts';
import { KubeStatusError } from '../../../../control/kube/error.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-tls-'));
let port = 0;
let server: ReturnType<typeof createServer>;

/** Makes a self-signed certificate for 127.0.0.1. */
function makeCertificate(name: string): { key: string; cert: string } {
  const key = join(folder, `${name}.key`);
  const cert = join(folder, `${name}.crt`);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync(
    'openssl',
    ['req', '-x509', ...curve, ...names, '-days', '2', '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  );
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

function kubeconfig(ca: string, token: string): string {
  const path = join(folder, `${token}.kubeconfig`);
  const cluster = {
    server: `https://127.0.0.1:${port}`,
    'certificate-authority-data': Buffer.from(ca).toString('base64'),
  };
  writeFileSync(
    path,
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return path;
}

const mine = makeCertificate('mine');
const other = makeCertificate('other');

before(async () => {
  server = createServer(mine, (request, response) => {
    const right = request.headers.authorization === 'Bearer right';
    response.writeHead(right ? 200 : 401, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(
        right ? { items: [{}] } : { code: 401, reason: 'Unauthorized', message: 'no' },
      ),
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  port = (server.address() as AddressInfo).port;
});

after(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  rmSync(folder, { recursive: true });
});

test("the token goes to a server with a certificate of the kubeconfig's CA", async () => {
  const client = connectKube(kubeconfig(mine.cert, 'right'));
  assert.equal((await client.list('Node')).items.length, 1);
  client.close();
});

test('an error about a wrong token says what to check', async () => {
  const client = connectKube(kubeconfig(mine.cert, 'wrong'));
  await assert.rejects(client.list('Node'), (error: unknown) => {
    assert.ok(error instanceof KubeStatusError);
    assert.deepEqual([error.status, error.reason], [401, 'Unauthorized']);
    assert.match(error.next, /kubeconfig/);
    return true;
  });
  client.close();
});

test('a server without such a certificate gets no token', async () => {
  const client = connectKube(kubeconfig(other.cert, 'never-sent'));
  await assert.rejects(client.list('Node'), { code: 'KT_KUBE_UNREACHABLE' });
  client.close();
});
