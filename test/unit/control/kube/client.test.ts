import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectKube, type KubeClient } from '../../../../control/kube/client.ts';
import { isGone, isNotFound, KubeStatusError } from '../../../../control/kube/error.ts';
import { pathOf } from '../../../../control/kube/kinds.ts';
import { KubetunError } from '../../../../datapath/error.ts';

interface Seen {
  line: string;
  contentType: string | undefined;
  body: string;
}

const seen: Seen[] = [];
const sockets = new Set<unknown>();
const folder = mkdtempSync(join(tmpdir(), 'kubetun-client-'));
let status = 200;
let answer: unknown = {};
let client: KubeClient;

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

const server = createServer(async (request, response) => {
  sockets.add(request.socket);
  seen.push({
    line: `${request.method} ${request.url}`,
    contentType: request.headers['content-type'],
    body: await bodyOf(request),
  });
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
});

function kubeconfig(port: number): string {
  const path = join(folder, `kubeconfig-${port}`);
  writeFileSync(
    path,
    `clusters: [{name: c, cluster: {server: "http://127.0.0.1:${port}/", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: team}}]
current-context: x
`,
  );
  return path;
}

before(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  client = connectKube(kubeconfig((server.address() as AddressInfo).port));
});

after(async () => {
  client.close();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  rmSync(folder, { recursive: true });
});

test('paths follow the API groups, and cluster-scoped kinds take no namespace', () => {
  assert.equal(pathOf('Pod', 'a', 'b'), '/api/v1/namespaces/a/pods/b');
  assert.equal(pathOf('Pod'), '/api/v1/pods');
  assert.equal(pathOf('Node', 'ignored', 'n1'), '/api/v1/nodes/n1');
  assert.equal(
    pathOf('EndpointSlice', 'a'),
    '/apis/discovery.k8s.io/v1/namespaces/a/endpointslices',
  );
});

test('each verb sends the method, path and body that the API expects', async () => {
  seen.length = 0;
  status = 200;
  const pod = { metadata: { name: 'p', namespace: 'ns' } };
  await client.list('Pod', { fieldSelector: 'spec.nodeName=n1', limit: 5 });
  await client.get('Pod', { namespace: 'ns', name: 'p' });
  await client.create('Pod', pod);
  await client.create('Pod', { metadata: { name: 'q' } });
  await client.patch('Node', { name: 'n1' }, { metadata: { labels: { a: null } } });
  await client.patch('Pod', { namespace: 'ns', name: 'p' }, { status: {} }, 'status');
  await client.delete('Pod', { namespace: 'ns', name: 'p' }, { graceS: 0, uid: 'u1' });
  assert.deepEqual(
    seen.map((s) => s.line),
    [
      'GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=5',
      'GET /api/v1/namespaces/ns/pods/p',
      'POST /api/v1/namespaces/ns/pods',
      'POST /api/v1/namespaces/team/pods',
      'PATCH /api/v1/nodes/n1',
      'PATCH /api/v1/namespaces/ns/pods/p/status',
      'DELETE /api/v1/namespaces/ns/pods/p',
    ],
  );
  assert.equal(seen[4]?.contentType, 'application/merge-patch+json');
  assert.deepEqual(JSON.parse(seen[2]?.body ?? ''), { apiVersion: 'v1', kind: 'Pod', ...pod });
  assert.deepEqual(JSON.parse(seen[6]?.body ?? ''), {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: 0,
    preconditions: { uid: 'u1' },
  });
  assert.equal(sockets.size, 1, 'one connection serves them all');
});

test('a refusal has its status and reason, and its message names the object', async () => {
  status = 404;
  answer = { kind: 'Status', code: 404, reason: 'NotFound', message: 'pods "p" not found' };
  await assert.rejects(client.get('Pod', { namespace: 'ns', name: 'p' }), (error: unknown) => {
    assert.ok(error instanceof KubeStatusError && isNotFound(error) && !isGone(error));
    assert.equal(error.reason, 'NotFound');
    assert.match(error.message, /GET \/api\/v1\/namespaces\/ns\/pods\/p: pods "p" not found$/);
    return true;
  });
  status = 502;
  answer = 'bad gateway\nmore';
  await assert.rejects(client.list('Node'), /refused GET \/api\/v1\/nodes: bad gateway$/);
});

test('a truncated answer is an error, not an empty object', async () => {
  status = 200;
  answer = '{"items":[';
  await assert.rejects(client.list('Node'), { code: 'KT_KUBE_CUT_OFF' });
});

test('an unreachable server is an error of one line with the address', async () => {
  const unused = createServer();
  await new Promise<void>((done) => unused.listen(0, '127.0.0.1', done));
  const { port } = unused.address() as AddressInfo;
  await new Promise((done) => unused.close(done));
  await assert.rejects(connectKube(kubeconfig(port)).list('Node'), (error: unknown) => {
    assert.ok(error instanceof KubetunError);
    assert.equal(error.code, 'KT_KUBE_UNREACHABLE');
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*ECONNREFUSED`));
    return true;
  });
});

test('a kubeconfig that is missing, malformed or empty is named', () => {
  const bad = join(folder, 'bad');
  assert.throws(() => connectKube(join(folder, 'absent')), { code: 'KT_KUBECONFIG' });
  writeFileSync(bad, 'clusters: [');
  assert.throws(
    () => connectKube(bad),
    (e: unknown) => e instanceof Error && e.message.includes(bad),
  );
  writeFileSync(bad, '{}');
  assert.throws(() => connectKube(bad), { code: 'KT_KUBECONFIG' });
  assert.throws(() => connectKube(null), { code: 'KT_KUBECONFIG' });
});
