// Ingress in a lab: requests from the internet, through a load balancer and HAProxy, to pods.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SEEN_PORT, type Seen } from '../support/ingress/backend.ts';
import { type Certificate, makeCertificate, tlsSecret } from '../support/ingress/certificates.ts';
import { check, type Sender, send } from '../support/ingress/curl.ts';
import { faultOf, PROBES } from '../support/ingress/probes.ts';
import { DEFAULT_ROWS, type Line, TABLES } from '../support/ingress/table.ts';
import {
  BACKEND_PODS,
  CERTIFICATES,
  DEFAULT_BACKEND,
  ingress,
  LAST_HOST,
  objectsWith,
  replicas,
} from '../support/ingress/world.ts';
import { clientCommand, clientPod, startLab, type TestLab, until } from '../support/lab.ts';
import type { Talk } from './clients/ingress-talk.ts';

const NAME = 'e2e-requests';
const INTERNET = '203.0.113.10';
const UPLOAD_MB = Number(process.env.KUBETUN_UPLOAD_MB ?? 32);
const REPLICAS = 10;
const folder = mkdtempSync(join(tmpdir(), 'kubetun-ingress-'));
let lab: TestLab;
let sender: Sender;
let certificates: Record<string, Certificate>;

async function addressOf(): Promise<string> {
  const { status } = await lab.kube.get('Service', { namespace: 'ingress', name: 'haproxy' });
  return status?.loadBalancer?.ingress?.[0]?.ip ?? '';
}

const SAME_ANSWERS = 10;

/** Polls until a request gets this answer. */
async function untilAnswer([url, row]: Line): Promise<void> {
  await until(`${url} is ${row.status} from ${row.backend}`, async () => {
    // Each connection goes to one of two pods, and they take a change at different times.
    const lines = Array.from({ length: SAME_ANSWERS }, (): Line => [url, row]);
    const found = await send(lines, sender);
    return found.every(
      ({ status, body }) =>
        status === row.status && (row.backend === undefined || body.includes(`"${row.backend}"`)),
    );
  });
}

async function sendAll(lines: Line[]): Promise<void> {
  const found = await send(lines, sender);
  for (const [i, line] of lines.entries()) check(line, found[i]!, sender);
}

/** What the backends saw since the last call. */
async function takeSeen(): Promise<Seen[]> {
  const lists = await Promise.all(
    BACKEND_PODS.map(async (pod) => {
      const text = await lab.run(pod, 'curl', '-s', `http://127.0.0.1:${SEEN_PORT}/`);
      return JSON.parse(text) as Seen[];
    }),
  );
  return lists.flat();
}

const created = (object: object) => lab.kube.create('Ingress', object as never);
const removed = (name: string) => lab.kube.delete('Ingress', { namespace: 'default', name });

describe('Ingress', () => {
  before(async () => {
    certificates = Object.fromEntries(
      Object.entries(CERTIFICATES).map(([name, hosts]) => [name, makeCertificate(folder, hosts)]),
    );
    const pems = Object.entries(certificates).map(([name, { cert }]) => [name, cert]);
    const objects = [...objectsWith(certificates), clientPod('client', 'node1')];
    lab = startLab(NAME, objects, { dns: {}, ingress: true });
    sender = {
      ...{ address: await addressOf(), client: INTERNET, certificates: Object.fromEntries(pems) },
      start: (command) => lab.start('internet', command),
    };
    await untilAnswer([`http://${LAST_HOST}/`, { status: 200, backend: 'plain' }]);
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await lab?.down();
  });

  for (const [name, lines] of Object.entries(TABLES)) {
    test(`answers ${lines.length} rows: ${name}`, () => sendAll(lines));
  }

  test('has at least 60 rows', () => {
    const all = [...Object.values(TABLES).flat(), ...DEFAULT_ROWS];
    assert.ok(all.length >= 60, `${all.length} rows`);
  });

  test('gives Ingresses of its class the address of the load balancer, and no others', async () => {
    const { items } = await lab.kube.list('Ingress');
    const addresses = items.map(({ metadata, status }) => [
      metadata!.name!,
      status?.loadBalancer?.ingress?.map(({ ip }) => ip).join() ?? '',
    ]);
    for (const [name, address] of addresses) {
      assert.equal(address, name === 'test-ingress-class' ? '' : sender.address, name);
    }
  });

  test(`answers ${DEFAULT_ROWS.length} rows: default_backend.feature`, async () => {
    await created(DEFAULT_BACKEND);
    await untilAnswer(DEFAULT_ROWS[0]!);
    await sendAll(DEFAULT_ROWS);
    await removed('default-backend');
    await untilAnswer(['http://my-host/', { status: 404 }]);
  });

  test(`load_balancing.feature: 100 requests reach all ${REPLICAS} pods of a Service`, async () => {
    const { deployment, service } = replicas('replicas', REPLICAS);
    await lab.kube.create('Deployment', deployment as never);
    await lab.kube.create('Service', service as never);
    await created(ingress('load', { rules: { 'load-balancing': { 'Prefix /': 'replicas' } } }));
    const lines = Array.from(
      { length: 100 },
      (): Line => ['http://load-balancing/', { status: 200 }],
    );
    await until('all pods answer', async () => {
      const found = await send(lines, sender);
      const pods = new Set(found.map(({ status, body }) => (status === 200 ? body : '')));
      return !pods.has('') && pods.size === REPLICAS;
    });
    await lab.kube.delete('Deployment', { namespace: 'default', name: 'replicas' });
  });

  test('changes hosts, paths and the certificate of an Ingress', async () => {
    await created(ingress('url-map', { rules: { 'map.test': { 'Prefix /a': 'plain' } } }));
    await untilAnswer(['http://map.test/a', { status: 200, backend: 'plain' }]);
    const place = { namespace: 'default', name: 'url-map' };
    const change = ingress('url-map', { rules: { 'new.test': { 'Prefix /b': 'other' } } });
    await lab.kube.patch('Ingress', place, { spec: (change as { spec: object }).spec });
    await untilAnswer(['http://new.test/b', { status: 200, backend: 'other' }]);
    await sendAll([
      ['http://map.test/a', { status: 404 }],
      ['http://new.test/a', { status: 404 }],
    ]);
    await removed('url-map');
    const fresh = makeCertificate(folder, ['tls.test', 'also.tls.test'], 'rotated');
    const secret = { namespace: 'default', name: 'tls-test' };
    const { data } = tlsSecret('tls-test', fresh) as { data: object };
    await lab.kube.patch('Secret', secret, { data });
    sender.certificates['tls-test'] = fresh.cert;
    await until('the new certificate is served', async () => {
      const line: Line = ['https://tls.test/', { status: 200, secret: 'tls-test' }];
      const [found] = await send([line], sender);
      return found!.status === 200 && found!.error === '';
    });
  });

  test('talks WebSocket, HTTP/2, gRPC and events, takes uploads, bears slow clients', async () => {
    const file = join(folder, 'served.pem');
    writeFileSync(
      file,
      `${sender.certificates['tls-test']}${sender.certificates['wildcard-tls-test']}`,
    );
    const program = 'ingress-talk';
    const talk = await lab.client<Talk>('internet', program, sender.address, file, UPLOAD_MB);
    checkTalk(talk);
  });

  test(`${PROBES.length} probes reach only what the rules name, as one request each`, async () => {
    await takeSeen();
    const { child, done } = lab.start('internet', clientCommand('ingress-raw', sender.address));
    child.stdin!.end(JSON.stringify(PROBES));
    const { stdout, stderr } = await done;
    const answers = JSON.parse(stdout || '[]') as string[];
    assert.equal(answers.length, PROBES.length, stderr);
    const seen = Map.groupBy(await takeSeen(), ({ headers }) => headers['x-probe'] ?? '');
    for (const [i, probe] of PROBES.entries()) {
      const id = String(i).padStart(4, '0');
      assert.equal(faultOf(probe, seen.get(id) ?? []), null, probe.name);
      seen.delete(id);
    }
    assert.deepEqual([...seen.values()].flat(), [], 'requests of no probe');
  });
});

function checkTalk({ webSocket, webSocketTls, h2, grpc, events, uploads, slow, stalled }: Talk) {
  for (const { text, bytes, seen, closed } of [webSocket, webSocketTls]) {
    assert.deepEqual({ text, bytes, closed }, { text: 'hello', bytes: 1 << 20, closed: 1005 });
    assert.equal(seen.headers.upgrade, 'websocket');
    assert.equal(seen.headers['x-forwarded-for'], INTERNET);
  }
  assert.equal(h2.alpn, 'h2');
  assert.deepEqual(
    h2.seen.map(({ path }) => path),
    Array.from({ length: 20 }, (_, i) => `/${i}?do=slow&pauseMs=100`),
  );
  const called = (name: keyof Talk['grpc']) => ({
    ...{ words: grpc[name].words, status: grpc[name].status },
  });
  assert.deepEqual(called('unary'), { words: ['hello'], status: '0' });
  assert.deepEqual(called('tls'), { words: ['safe'], status: '0' });
  const again = Array.from({ length: 5 }, (_, i) => `again ${i}`);
  assert.deepEqual(called('repeat'), { words: again, status: '0' });
  // Each word was sent when the one before it had come back.
  assert.deepEqual(called('both'), { words: ['a', 'b', 'c'], status: '0' });
  assert.deepEqual(called('unknown'), { words: [], status: '12' });
  assert.deepEqual(events.ids, ['0', '1', '2', '3', '4']);
  // The server sends them over 600 ms. An answer that is kept back arrives at once.
  assert.ok(events.atMs.at(-1)! - events.atMs[0]! > 100, `${events.atMs}`);
  for (const { sent, got } of Object.values(uploads)) assert.deepEqual(got, sent);
  const text = '0123456789'.repeat(20);
  const sha256 = createHash('sha256').update(text).digest('hex');
  assert.deepEqual(slow.upload, { bytes: text.length, sha256 });
  assert.equal(slow.seen.path, '/slow');
  assert.deepEqual([...new Set(stalled.meanwhile)], [200]);
  assert.deepEqual([...new Set(stalled.answers)], ['HTTP/1.1 408 Request Time-out']);
}
