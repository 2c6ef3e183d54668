// Entry: `asker-process.ts FOLDER UPSTREAM_PORT TTL CHANGES SECONDS`. Runs beside an API server and
// a DNS server on loopback. Measures when answers of a headless Service show a change, and how old
// answers of the cache are. Prints `upstream` when the DNS server may start, then a line of JSON.
import { createSocket, type Socket } from 'node:dgram';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { decode, encode, type StringAnswer } from 'dns-packet';
import { connectKube } from '../../../control/kube/client.ts';
import { slice } from '../pace/cluster.ts';
import { nowMs } from '../pace/talk.ts';

/** The results of this process. */
export interface Asked {
  /** From its start to the server's first answer after the sync. */
  readyMs: number;
  /** From the write of a slice to the answer that shows it. */
  changeMs: number[];
  /** Ages of cached answers at the time of their queries. */
  cachedMsMax: number;
  cachedCount: number;
  /** Answers that are older than their TTL. */
  staleCount: number;
}

const HOST = '127.0.0.1';
const DNS_PORT = 53;
const HEADS = 'heads.default.svc.cluster.local';
const LOST_MS = 1000;
const PAUSE_MS = 1;

const [folder, upstreamPort, ttl, changes, seconds] = process.argv.slice(2) as [
  string,
  ...string[],
];

/** Answers any name with the time of the answer as its address. */
function serveUpstream(startedMs: number): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, from) => {
    const { id, questions } = decode(bytes);
    const { name } = questions![0]!;
    const answer = { type: 'A' as const, name, ttl: Number(ttl), data: addressOf(startedMs) };
    const packet = { type: 'response' as const, id: id!, flags: 0x180, questions: questions! };
    socket.send(encode({ ...packet, answers: [answer] }), from.port, from.address);
  });
  return new Promise((resolve) => socket.bind(Number(upstreamPort), HOST, resolve));
}

function addressOf(startedMs: number): string {
  const ms = Math.round(nowMs() - startedMs);
  return `10.${ms >> 16}.${(ms >> 8) & 255}.${ms & 255}`;
}

let id = 0;

/** The addresses of a name; null without an answer. */
function ask(socket: Socket, name: string): Promise<string[] | null> {
  id = (id + 1) & 0xffff;
  const own = id;
  const query = encode({ type: 'query', id: own, flags: 0x100, questions: [{ name, type: 'A' }] });
  return new Promise((resolve) => {
    const end = (addresses: string[] | null) => {
      timer.abort();
      socket.off('message', look);
      resolve(addresses);
    };
    const look = (bytes: Buffer) => {
      const { id: theirs, answers } = decode(bytes);
      if (theirs === own) end(answers!.map((record) => (record as StringAnswer).data));
    };
    const timer = new AbortController();
    setTimeout(LOST_MS, null, { signal: timer.signal }).then(
      () => end(null),
      () => {},
    );
    socket.on('message', look);
    socket.send(query, DNS_PORT, HOST, () => {});
  });
}

async function untilAnswer(socket: Socket, name: string, address: string): Promise<number> {
  while (!(await ask(socket, name))?.includes(address)) await setTimeout(PAUSE_MS);
  return nowMs();
}

async function measureChanges(socket: Socket): Promise<number[]> {
  const kube = connectKube(join(folder, 'kubeconfig'));
  const spec = { clusterIP: 'None', ports: [{ port: 80 }] };
  await kube.create('Service', { metadata: { name: 'heads' }, spec } as never);
  const made = await kube.create('EndpointSlice', slice('heads', ['10.250.255.1'], 'TCP') as never);
  await untilAnswer(socket, HEADS, '10.250.255.1');
  const times: number[] = [];
  for (let i = 0; i < Number(changes); i++) {
    const address = `10.250.${i >> 8}.${i & 255}`;
    const { endpoints } = slice('heads', [address], 'TCP');
    const place = { namespace: 'default', name: made.metadata!.name! };
    const sentMs = nowMs();
    const written = kube.patch('EndpointSlice', place, { endpoints });
    times.push((await untilAnswer(socket, HEADS, address)) - sentMs);
    await written;
  }
  kube.close();
  return times;
}

/** The age counts from the first arrival of an answer here. The server stored it earlier. */
async function measureCache(socket: Socket) {
  const firstMs = new Map<string, number>();
  const ages: number[] = [];
  const endMs = nowMs() + 1000 * Number(seconds);
  while (nowMs() < endMs) {
    const sentMs = nowMs();
    const [address] = (await ask(socket, 'fresh.example')) ?? [];
    if (address === undefined) continue;
    if (!firstMs.has(address)) firstMs.set(address, nowMs());
    ages.push(Math.max(0, sentMs - firstMs.get(address)!));
    await setTimeout(PAUSE_MS);
  }
  const staleCount = ages.filter((age) => age > Number(ttl) * 1000).length;
  return { cachedMsMax: Math.max(...ages), cachedCount: ages.length, staleCount };
}

const startedMs = nowMs();
await serveUpstream(startedMs);
console.log('upstream');
const socket = createSocket('udp4');
const readyMs =
  (await untilAnswer(socket, 's0.default.svc.cluster.local', await firstAddress())) - startedMs;
const changeMs = await measureChanges(socket);
const asked: Asked = { readyMs, changeMs, ...(await measureCache(socket)) };
console.log(JSON.stringify(asked));
process.exit(0);

/** Of a Service that the journal has. */
async function firstAddress(): Promise<string> {
  const kube = connectKube(join(folder, 'kubeconfig'));
  const { spec } = await kube.get('Service', { namespace: 'default', name: 's0' });
  kube.close();
  return spec!.clusterIP!;
}
