import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createProxy } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { connectKube } from '../../../../control/kube/client.ts';
import type { KubeAccess } from '../../../../control/kube/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubetun-access-'));
const file = (name: string, text: string, mode = 0o600) => {
  writeFileSync(join(folder, name), text, { mode });
  return join(folder, name);
};

/** A self-signed certificate for 127.0.0.1, as paths. */
function makeCertificate(name: string): { key: string; cert: string } {
  const paths = { key: join(folder, `${name}.key`), cert: join(folder, `${name}.crt`) };
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-days', '2', '-keyout', paths.key, '-out', paths.cert];
  execFileSync('openssl', ['req', '-x509', ...curve, ...names, ...files], { stdio: 'ignore' });
  return paths;
}

const api = makeCertificate('api');
const alice = makeCertificate('alice');
const seen: { token: string; subject: string }[] = [];
let tunnels = 0;
const server = createServer(
  {
    key: readFileSync(api.key),
    cert: readFileSync(api.cert),
    ca: readFileSync(alice.cert),
    requestCert: true,
    rejectUnauthorized: false,
  },
  (request, response) => {
    const socket = request.socket as TLSSocket;
    const token = (request.headers.authorization ?? '').replace('Bearer ', '');
    const subject = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : '';
    seen.push({ token, subject });
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"items":[]}');
  },
);
const proxy = createProxy();
proxy.on('connect', (request, socket) => {
  tunnels++;
  const [host, port] = request.url!.split(':');
  const way = connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    way.pipe(socket).pipe(way);
  });
  for (const end of [way, socket]) end.on('error', () => {});
});

const portOf = (one: Server) => (one.address() as AddressInfo).port;
const address = () => `https://127.0.0.1:${portOf(server)}`;

before(async () => {
  for (const one of [server, proxy]) {
    await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  }
});
after(() => {
  for (const one of [server, proxy]) one.close();
  server.closeAllConnections();
  proxy.closeAllConnections();
  rmSync(folder, { recursive: true });
});

function kubeconfig(user: object, cluster: object = {}): string {
  const own = { server: address(), 'certificate-authority': 'api.crt', ...cluster };
  return file(
    'config',
    JSON.stringify({
      clusters: [
        { name: 'c', cluster: own },
        { name: 'd', cluster: { server: 'https://127.0.0.1:1' } },
      ],
      users: [
        { name: 'u', user },
        { name: 'v', user: { token: 'of-v' } },
      ],
      contexts: [
        { name: 'x', context: { cluster: 'c', user: 'u' } },
        { name: 'y', context: { cluster: 'c', user: 'v' } },
        { name: 'z', context: { cluster: 'd', user: 'u' } },
      ],
      'current-context': 'x',
    }),
  );
}

/** Identities that the server saw: of one request, and of another after `between` if given. */
async function ask(path: string | null, access: KubeAccess = {}, between?: () => void) {
  seen.length = 0;
  const client = connectKube(path, access);
  await client.list('Node');
  if (between) {
    between();
    await client.list('Node');
  }
  client.close();
  return seen;
}

test('a client certificate is sent', async () => {
  const user = { 'client-certificate': 'alice.crt', 'client-key': 'alice.key' };
  assert.deepEqual(await ask(kubeconfig(user)), [{ token: '', subject: 'alice' }]);
});

test('a tokenFile beside the kubeconfig is read again when it rotates', async () => {
  file('token', 'first\n');
  const user = { tokenFile: 'token', token: 'stale' };
  const asked = await ask(kubeconfig(user), {}, () => file('token', 'second\n'));
  assert.deepEqual(
    asked.map(({ token }) => token),
    ['first', 'second'],
  );
});

test('an exec plugin gets KUBERNETES_EXEC_INFO and gives the token', async () => {
  const version = 'client.authentication.k8s.io/v1';
  file(
    'plugin',
    `#!/bin/sh
case $KUBERNETES_EXEC_INFO in *'"interactive":false'*) ;; *) exit 1 ;; esac
echo '{"apiVersion":"${version}","kind":"ExecCredential","status":{"token":"'$1-$WHO'"}}'
`,
    0o700,
  );
  const env = [{ name: 'WHO', value: 'me' }];
  const exec = { apiVersion: version, command: join(folder, 'plugin'), args: ['for'], env };
  assert.equal((await ask(kubeconfig({ exec })))[0]!.token, 'for-me');
});

test('a missing exec plugin is an error with a next step', async () => {
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: join(folder, 'none') };
  const client = connectKube(kubeconfig({ exec }));
  await assert.rejects(client.list('Node'), { code: 'KT_KUBE_CREDENTIALS', next: /exec plugin/ });
});

test('a proxy-url is used', async () => {
  const before = tunnels;
  const cluster = { 'proxy-url': `http://127.0.0.1:${portOf(proxy)}` };
  assert.equal((await ask(kubeconfig({ token: 't' }, cluster)))[0]!.token, 't');
  assert.equal(tunnels, before + 1);
});

test('insecure-skip-tls-verify accepts any certificate', async () => {
  const cluster = { 'certificate-authority': undefined, 'insecure-skip-tls-verify': true };
  assert.equal((await ask(kubeconfig({ token: 't' }, cluster)))[0]!.token, 't');
});

test('--context and --server override the kubeconfig', async () => {
  const path = kubeconfig({ token: 'of-u' });
  assert.equal((await ask(path, { context: 'y' }))[0]!.token, 'of-v');
  assert.throws(() => connectKube(path, { context: 'w' }), {
    code: 'KT_KUBECONFIG',
    next: 'its contexts are x, y, z',
  });
  const moved = kubeconfig({ token: 'of-u' }, { server: 'https://127.0.0.1:1' });
  assert.equal((await ask(moved, { server: address() }))[0]!.token, 'of-u');
});

test('in a pod the token is read for each request, and --server replaces the Service address', async () => {
  const account = join(folder, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(account, { recursive: true });
  writeFileSync(join(account, 'ca.crt'), readFileSync(api.cert));
  writeFileSync(join(account, 'namespace'), 'kube-system');
  writeFileSync(join(account, 'token'), 'first');
  const access = { root: folder, server: address() };
  const asked = await ask(null, access, () => writeFileSync(join(account, 'token'), 'second'));
  assert.deepEqual(
    asked.map(({ token }) => token),
    ['first', 'second'],
  );
});

test('an account with an unreachable Service is an error that names --server', async () => {
  const was = { ...process.env };
  Object.assign(process.env, {
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    KUBERNETES_SERVICE_PORT: '1',
  });
  const client = connectKube(null, { root: folder });
  process.env = was;
  await assert.rejects(client.list('Node'), { code: 'KT_KUBE_UNREACHABLE', next: /--server/ });
});

test('outside a pod there is no account, and the error has a next step', () => {
  const none = join(folder, 'none');
  assert.throws(() => connectKube(null, { root: none, server: address() }), {
    code: 'KT_KUBECONFIG',
    next: /--kubeconfig/,
  });
});
