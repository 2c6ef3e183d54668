// Forwarding over real sockets on loopback: which answers are accepted, cached and refused.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { after, describe, test } from 'node:test';
import { decode, encode } from 'dns-packet';
import { AnswerCache } from '../../../../control/dns/cache.ts';
import { frame } from '../../../../control/dns/exchange.ts';
import { Forwarder } from '../../../../control/dns/forwarder.ts';
import { listen } from '../../../../control/dns/listen.ts';
import { Metrics } from '../../../../control/dns/metrics.ts';
import { formatName, parseName } from '../../../../control/dns/name.ts';
import { servePages } from '../../../../control/dns/pages.ts';
import {
  type Answer,
  addressBytes,
  addressRecord,
  bareAnswer,
  startOfAuthority,
} from '../../../../control/dns/record.ts';
import { lines, makeResponder, makeZone } from './world.ts';

const HOST = '127.0.0.1';
const NAME = parseName('www.example.test')!;
const REQUEST = { name: NAME, type: 1, isSecure: false, isUnchecked: false };
const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers) await close();
});

type Send = (bytes: Uint8Array) => void;
interface Asked {
  id: number;
  name: string;
  port: number;
  send: Send;
}

/** A name server whose datagrams the test controls. */
function nameServer(onQuery: (asked: Asked, socket: Socket) => void, port = 0): Promise<number> {
  const socket = createSocket('udp4');
  closers.push(() => socket.close());
  socket.on('message', (bytes, from) => {
    const { id = 0, questions } = decode(bytes);
    const send: Send = (answer) => socket.send(answer, from.port, from.address);
    onQuery({ id, name: questions![0]!.name, port: from.port, send }, socket);
  });
  return new Promise((resolve) => socket.bind(port, HOST, () => resolve(socket.address().port)));
}

function reply(
  id: number,
  change: { name?: string; type?: string; data?: string; ttl?: number; flags?: number } = {},
): Buffer {
  const { name = 'www.example.test', type = 'A', data = '192.0.2.1', ttl = 60, flags = 0 } = change;
  return encode({
    ...{ type: 'response', id, flags: 0x0180 | flags },
    questions: [{ name, type: type as 'A' }],
    answers: [{ name, type: 'A', ttl, data }],
  });
}

interface Setup {
  clock?: () => number;
  timeoutMs?: number;
}

function forwarder(ports: number[], { clock = () => 0, timeoutMs = 20_000 }: Setup = {}) {
  const metrics = new Metrics('dns://:53');
  const cache = { entriesMax: 4, ttlMaxS: 30, clock };
  const servers = ports.map((port) => ({ address: HOST, port }));
  return { metrics, forward: new Forwarder({ servers, cache, timeoutMs, metrics }) };
}

function addressesOf(answer: Answer): string[] {
  return answer.answers.map(({ data }) => (data[0] as Uint8Array).join('.'));
}

describe('a forwarded question', () => {
  test('accepts the answer with its id and question, and ignores forged ones before it', async () => {
    const forged = '6.6.6.6';
    const port = await nameServer(({ id, send }) => {
      send(reply((id + 1) & 0xffff, { data: forged }));
      send(reply(id, { data: forged, name: 'www.example.evil' }));
      send(reply(id, { data: forged, type: 'AAAA' }));
      const query = reply(id, { data: forged });
      query[2]! &= 0x7f;
      send(query);
      send(Buffer.from('rubbish'));
      send(reply(id, { name: 'WWW.example.test' }));
    });
    assert.deepEqual(addressesOf(await forwarder([port]).forward.ask(REQUEST)), ['192.0.2.1']);
  });

  test('ignores datagrams from other ports', async () => {
    const other = createSocket('udp4');
    closers.push(() => other.close());
    const port = await nameServer(({ id, port, send }) => {
      other.send(reply(id, { data: '6.6.6.6' }), port, HOST, () => send(reply(id)));
    });
    assert.deepEqual(addressesOf(await forwarder([port]).forward.ask(REQUEST)), ['192.0.2.1']);
  });

  test('uses another id and source port each time', async () => {
    const ids = new Set<number>();
    const ports = new Set<number>();
    const port = await nameServer((asked) => {
      ids.add(asked.id);
      ports.add(asked.port);
      asked.send(reply(asked.id, { name: asked.name }));
    });
    const { forward } = forwarder([port]);
    for (let i = 0; i < 64; i++) await forward.ask({ ...REQUEST, name: parseName(`n${i}.test`)! });
    assert.ok(ids.size > 60, `${ids.size} ids`);
    assert.ok(ports.size > 50, `${ports.size} ports`);
    const steps = [...ids].map((id, i, all) => id - (all[i - 1] ?? 0));
    assert.ok(new Set(steps).size > 50, 'ids do not count up');
  });

  test('gives up on a server that sends only forged answers', async () => {
    let asked = 0;
    const port = await nameServer(({ id, send }) => {
      asked++;
      for (let i = 1; i <= 64; i++) send(reply((id + i) & 0xffff));
    });
    await assert.rejects(
      forwarder([port], { timeoutMs: 60_000 }).forward.ask(REQUEST),
      /64 datagrams that are no answer/,
    );
    assert.equal(asked, 2);
  });

  test('goes to the next server when one is silent, closed or fails', async () => {
    const silent = await nameServer(() => {});
    const failing = await nameServer(({ id, send }) => send(reply(id, { flags: 2 })));
    const good = await nameServer(({ id, send }) => send(reply(id)));
    const { forward, metrics } = forwarder([silent, 1, failing, good], { timeoutMs: 500 });
    assert.deepEqual(addressesOf(await forward.ask(REQUEST)), ['192.0.2.1']);
    const text = metrics.format();
    assert.match(
      text,
      new RegExp(`request_duration_seconds_count{.*rcode="SERVFAIL",to="${HOST}:${failing}"} \\d`),
    );
  });

  test('of several clients at once is sent upstream once', async () => {
    let asked = 0;
    const port = await nameServer(({ id, send }) => {
      asked++;
      setTimeout(() => send(reply(id)), 20);
    });
    const { forward } = forwarder([port]);
    const answers = await Promise.all([1, 2, 3].map(() => forward.ask(REQUEST)));
    assert.equal(asked, 1);
    for (const answer of answers) assert.deepEqual(addressesOf(answer), ['192.0.2.1']);
  });

  test('is refused while a thousand others wait', async () => {
    const silent = await nameServer(() => {});
    const { forward, metrics } = forwarder([silent], { timeoutMs: 100 });
    const open = Array.from({ length: 1000 }, (_, i) =>
      forward.ask({ ...REQUEST, name: parseName(`n${i}.test`)! }).catch(() => 'failed'),
    );
    await assert.rejects(forward.ask(REQUEST), /1000 questions wait/);
    assert.match(metrics.format(), /^coredns_forward_max_concurrent_rejects_total 1$/m);
    assert.deepEqual([...new Set(await Promise.all(open))], ['failed']);
    await assert.rejects(forward.ask(REQUEST), /no answer within/);
  });

  test('is repeated over TCP if its answer is truncated', async () => {
    const many = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`);
    const server = createServer((socket) =>
      socket.on('data', (bytes) => {
        const { id } = decode(bytes.subarray(2));
        const answers = many.map((data) => ({
          name: 'www.example.test',
          type: 'A' as const,
          ttl: 9,
          data,
        }));
        const questions = [{ name: 'www.example.test', type: 'A' as const }];
        const answer = frame(encode({ type: 'response', id, flags: 0x180, questions, answers }));
        socket.write(answer.subarray(0, 100));
        socket.write(answer.subarray(100));
      }),
    );
    closers.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
    const { port } = server.address() as { port: number };
    await nameServer(({ id, send }) => send(reply(id, { flags: 0x200 })), port);
    const answer = await forwarder([port]).forward.ask(REQUEST);
    assert.deepEqual(addressesOf(answer), many);
  });
});

describe('a forged answer', () => {
  test('over TCP, to another question or with another id, is not taken', async () => {
    const forgeries = [{ name: 'www.example.evil' }, { type: 'AAAA' }, { idChange: 1 }];
    for (const { idChange = 0, ...change } of forgeries as { idChange?: number }[]) {
      const server = createServer((socket) =>
        socket.on('data', (bytes) => {
          const { id = 0 } = decode(bytes.subarray(2));
          socket.write(frame(reply((id + idChange) & 0xffff, { data: '6.6.6.6', ...change })));
        }),
      );
      closers.push(() => server.close());
      await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
      const { port } = server.address() as { port: number };
      await nameServer(({ id, send }) => send(reply(id, { flags: 0x200 })), port);
      await assert.rejects(
        forwarder([port]).forward.ask(REQUEST),
        /sent no answer to the question over TCP/,
      );
    }
  });

  test('in another section of a right message is not cached', async () => {
    const asked: string[] = [];
    const port = await nameServer(({ id, send, name }) => {
      asked.push(name);
      const own = { type: 'A' as const, name, ttl: 60, data: '192.0.2.1' };
      const forged = { ...own, name: 'bank.example.test', data: '6.6.6.6' };
      const questions = [{ name, type: 'A' as const }];
      const sections = { answers: [own], additionals: [forged], authorities: [forged] };
      send(encode({ type: 'response', id, flags: 0x180, questions, ...sections }));
    });
    const { forward } = forwarder([port]);
    await forward.ask(REQUEST);
    const bank = await forward.ask({ ...REQUEST, name: parseName('bank.example.test')! });
    assert.deepEqual(asked, ['www.example.test', 'bank.example.test']);
    assert.deepEqual(addressesOf(bank), ['192.0.2.1']);
  });
});

describe('the cache', () => {
  const apex = parseName('example.test')!;
  const soa = (ttl: number, minimum: number) =>
    startOfAuthority(
      apex,
      apex,
      apex,
      { serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
      ttl,
    );
  const positive = (ttl: number): Answer => ({
    ...bareAnswer(0),
    answers: [addressRecord(NAME, addressBytes('192.0.2.1')!, ttl)],
  });
  const negative = (rcode: number, ttl: number, minimum: number): Answer => ({
    ...bareAnswer(rcode),
    authority: [soa(ttl, minimum)],
  });
  const rows: [what: string, answer: Answer, lastsS: number][] = [
    ['an address as long as its TTL', positive(12), 12],
    ['no answer for longer than 30 s', positive(3600), 30],
    ['nothing of an answer with TTL 0', positive(0), 0],
    ['NXDOMAIN as long as the minimum of its SOA', negative(3, 20, 7), 7],
    ['NXDOMAIN no longer than the TTL of its SOA', negative(3, 4, 60), 4],
    ['a name without data like NXDOMAIN', negative(0, 20, 7), 7],
    ['nothing of a denial without SOA', bareAnswer(3), 0],
    ['no failure', bareAnswer(2), 0],
  ];
  for (const [what, answer, lastsS] of rows) {
    test(`keeps ${what}`, () => {
      let now = 5000;
      const cache = new AnswerCache({ entriesMax: 9, ttlMaxS: 30, clock: () => now });
      cache.put('key', answer);
      assert.equal(cache.size, lastsS > 0 ? 1 : 0);
      if (lastsS > 0) {
        now += lastsS * 1000 - 1;
        const kept = cache.get('key')!;
        for (const { ttl } of [...kept.answers, ...kept.authority])
          assert.ok(ttl >= 1 && ttl <= 30);
        assert.equal([...kept.answers][0]?.ttl ?? 1, 1, 'what is left of the TTL');
        now += 1;
      }
      assert.equal(cache.get('key'), null);
    });
  }

  test('removes the least recently used answer', () => {
    const cache = new AnswerCache({ entriesMax: 2, ttlMaxS: 30, clock: () => 0 });
    for (const key of ['a', 'b']) cache.put(key, positive(9));
    assert.ok(cache.get('a'));
    cache.put('c', positive(9));
    assert.deepEqual([cache.get('a') !== null, cache.get('b'), cache.size], [true, null, 2]);
  });

  test('answers without upstream until the TTL ends, and then asks upstream again', async () => {
    let [asked, now] = [0, 0];
    const port = await nameServer(({ id, send, name }) => {
      asked++;
      send(reply(id, { ttl: 10, name }));
    });
    const { forward, metrics } = forwarder([port], { clock: () => now });
    await forward.ask(REQUEST);
    now = 9_999;
    const kept = await forward.ask({ ...REQUEST, name: parseName('WWW.Example.test')! });
    assert.deepEqual([asked, kept.answers[0]!.ttl], [1, 1]);
    await forward.ask({ ...REQUEST, isSecure: true });
    assert.equal(asked, 2, 'with DNSSEC it is another answer');
    now = 10_000;
    await forward.ask(REQUEST);
    assert.equal(asked, 3);
    const text = metrics.format();
    assert.match(text, /^coredns_cache_hits_total{.*type="success".*} 1$/m);
    assert.match(text, /^coredns_cache_misses_total{.*} 3$/m);
  });

  test('gives each question the answer to its own name', async () => {
    const port = await nameServer(({ id, send, name }) => {
      const number = Number(/\d+/.exec(name)![0]);
      setTimeout(() => send(reply(id, { name, data: `192.0.2.${number}` })), (number * 7) % 13);
    });
    const { forward } = forwarder([port]);
    const numbers = Array.from({ length: 200 }, (_, i) => i);
    const found = await Promise.all(
      numbers.map((i) => forward.ask({ ...REQUEST, name: parseName(`n${i}.test`)! })),
    );
    for (const [i, answer] of found.entries()) {
      assert.deepEqual(addressesOf(answer), [`192.0.2.${i}`]);
      assert.equal(formatName(answer.answers[0]!.name), `n${i}.test.`);
    }
  });
});

describe('the listeners', () => {
  const responder = makeResponder(makeZone(), { ask: async () => bareAnswer(0) });
  const failures: string[] = [];
  const start = (idleMs?: number) =>
    listen({
      ...{ address: HOST, port: 0, ...(idleMs && { idleMs }) },
      respond: (bytes, client) => responder.respond(bytes, client),
      onFailure: (_, what) => failures.push(what),
    });
  const query = (name: string, id = 1) =>
    encode({ type: 'query', id, flags: 0x100, questions: [{ name, type: 'A' }] });
  const SVC1 = 'svc1.testns.svc.cluster.local';

  test('answer over UDP and TCP at one port, also in pieces and several at once', async () => {
    const listener = await start();
    const client = createSocket('udp4');
    const datagram = new Promise<Buffer>((resolve) => client.once('message', resolve));
    client.send(query(SVC1), listener.port, HOST);
    assert.deepEqual(lines(decode(await datagram).answers), [`${SVC1} A 5 10.96.40.1`]);
    client.close();
    const socket = connect(listener.port, HOST);
    const stream = Buffer.concat([1, 2, 3].map((id) => frame(query(SVC1, id))));
    socket.write(stream.subarray(0, 1));
    await new Promise((resolve) => setImmediate(resolve));
    socket.write(stream.subarray(1, 50));
    socket.end(stream.subarray(50));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    let received = Buffer.concat(chunks);
    const ids: number[] = [];
    while (received.length > 0) {
      const end = 2 + received.readUInt16BE(0);
      ids.push(decode(received.subarray(2, end)).id!);
      received = received.subarray(end);
    }
    assert.deepEqual(ids.sort(), [1, 2, 3]);
    await listener.close();
    assert.deepEqual(failures, []);
  });

  test('close a connection without queries, and reject a port in use', async () => {
    const listener = await start(20);
    const socket = connect(listener.port, HOST);
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('close', resolve));
    const taken = listen({
      ...{ address: HOST, port: listener.port, onFailure: () => {} },
      respond: async () => null,
    });
    await assert.rejects(taken, /EADDRINUSE/);
    await listener.close();
  });

  test('pages show health, readiness and metrics', async () => {
    let [isReady, isEnding] = [false, false];
    const metrics = new Metrics('dns://:53');
    metrics.answered({
      zone: 'cluster.local.',
      proto: 'udp',
      type: 1,
      rcode: 0,
      ms: 3,
      plugin: 'kubernetes',
    });
    metrics.answered({
      zone: '.',
      proto: 'tcp',
      type: 999,
      rcode: 3,
      ms: 90_000,
      plugin: 'forward',
    });
    metrics.programmed(0.5);
    const servers = await servePages({
      ...{ address: HOST, ports: { health: 0, ready: 0, metrics: 0 }, metrics },
      ...{ isReady: () => isReady, isEnding: () => isEnding, onFailure: () => {} },
    });
    closers.push(() => Promise.all(servers.map((server) => server.close())));
    const urls = servers.map(
      (server) => `http://${HOST}:${(server.address() as { port: number }).port}`,
    );
    const status = async (i: number, path: string) => (await fetch(urls[i] + path)).status;
    assert.deepEqual([await status(0, '/health'), await status(1, '/ready')], [200, 503]);
    isReady = true;
    assert.equal(await status(1, '/ready'), 200);
    isEnding = true;
    assert.deepEqual([await status(0, '/health'), await status(1, '/ready')], [503, 503]);
    assert.equal(await status(0, '/nothing'), 404);
    const text = await (await fetch(`${urls[2]}/metrics`)).text();
    const place = 'server="dns://:53",zone="cluster.local.",view=""';
    for (const line of [
      `coredns_dns_requests_total{${place},proto="udp",family="1",type="A"} 1`,
      'coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="tcp",family="1",type="other"} 1',
      `coredns_dns_responses_total{${place},rcode="NOERROR",plugin="kubernetes"} 1`,
      `coredns_dns_request_duration_seconds_bucket{${place},le="0.002"} 0`,
      `coredns_dns_request_duration_seconds_bucket{${place},le="0.004"} 1`,
      `coredns_dns_request_duration_seconds_count{${place}} 1`,
      'coredns_dns_request_duration_seconds_bucket{server="dns://:53",zone=".",view="",le="+Inf"} 1',
      'coredns_kubernetes_dns_programming_duration_seconds_count{service_kind="headless_with_selector"} 1',
      'coredns_cache_entries{server="dns://:53"} 0',
      'coredns_panics_total 0',
    ]) {
      assert.ok(text.split('\n').includes(line), `${line} in\n${text}`);
    }
  });
});
