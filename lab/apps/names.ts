// The name server of a lab's internet. It serves the root and example.test; no other name exists.
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { type Answer, type DecodedPacket, decode, encode, type Packet } from 'dns-packet';

const ZONE = 'example.test';
const ROOT = '.';
const TTL_S = 60;
const NEGATIVE_TTL_S = 10;
const UDP_BYTES_MIN = 512;
const FLAG_AA = 0x0400;
const FLAG_TC = 0x0200;
const FLAG_RD = 0x0100;
const OPCODE_MASK = 0x7800;
const RCODE_NXDOMAIN = 3;
const RCODE_NOTIMP = 4;
/** More addresses than a datagram of 512 bytes holds. */
const MANY = 60;

type Known = ReadonlyMap<string, DataRecord[]>;
type DataRecord = Exclude<Answer, { type: 'OPT' }>;

/** Every record of the zone; `server` is the address of this host. */
export function recordsOf(server: string): Known {
  const a = (name: string, data: string): DataRecord => ({ type: 'A', name, ttl: TTL_S, data });
  const text = (name: string, data: string): DataRecord => ({
    type: 'TXT',
    name,
    ttl: TTL_S,
    data,
  });
  const list: DataRecord[] = [
    authorityOf(ROOT),
    { type: 'NS', name: ROOT, ttl: TTL_S, data: `ns.${ZONE}` },
    authorityOf(ZONE),
    { type: 'NS', name: ZONE, ttl: TTL_S, data: `ns.${ZONE}` },
    { type: 'MX', name: ZONE, ttl: TTL_S, data: { preference: 10, exchange: `mail.${ZONE}` } },
    text(ZONE, 'v=spf1 -all'),
    ...[ZONE, `www.${ZONE}`, `ns.${ZONE}`, `mail.${ZONE}`].map((name) => a(name, server)),
    { type: 'CNAME', name: `alias.${ZONE}`, ttl: TTL_S, data: `www.${ZONE}` },
    { type: 'AAAA', name: `six.${ZONE}`, ttl: TTL_S, data: '2001:db8::10' },
    ...Array.from({ length: MANY }, (_, i) => a(`many.${ZONE}`, `192.0.2.${i + 1}`)),
  ];
  return Map.groupBy(list, ({ name }) => name);
}

function authorityOf(name: string): DataRecord {
  const numbers = { serial: 1, refresh: 7200, retry: 1800, expire: 86_400 };
  const data = {
    ...numbers,
    mname: `ns.${ZONE}`,
    rname: `hostmaster.${ZONE}`,
    minimum: NEGATIVE_TTL_S,
  };
  return { type: 'SOA', name, ttl: NEGATIVE_TTL_S, data };
}

/** The answer to a query; null if the message is not a query. Names are compared in lower case. */
export function answerName(known: Known, query: DecodedPacket): Packet | null {
  const [question] = query.questions ?? [];
  if (query.type !== 'query' || !question) return null;
  const base = { type: 'response' as const, id: query.id ?? 0, questions: [question] };
  const flags = FLAG_AA | ((query.flags ?? 0) & FLAG_RD);
  if (((query.flags ?? 0) & OPCODE_MASK) !== 0) return { ...base, flags: flags | RCODE_NOTIMP };
  const name = question.name.toLowerCase();
  const found = known.get(name) ?? [];
  const alias = found.find((record) => record.type === 'CNAME');
  const target = alias && question.type !== 'CNAME' ? known.get(String(alias.data)) : [];
  const answers = [...found, ...(target ?? [])].filter(
    ({ type }) => type === question.type || type === 'CNAME',
  );
  if (answers.length > 0) return { ...base, flags, answers };
  const isBelow = name === ZONE || name.endsWith(`.${ZONE}`);
  const authorities = [authorityOf(isBelow ? ZONE : ROOT)];
  const exists = found.length > 0 || isAbove(known, name);
  return { ...base, flags: exists ? flags : flags | RCODE_NXDOMAIN, authorities };
}

/**
 * True for a name such as `test`: it has no records, but a name below it has. NXDOMAIN would deny
 * all names below it (RFC 8020).
 */
function isAbove(known: Known, name: string): boolean {
  return [...known.keys()].some((other) => other.endsWith(`.${name}`));
}

/** Serves UDP and TCP at this port of every address. */
export function serveNames(server: string, port: number): void {
  const known = recordsOf(server);
  const socket = createSocket('udp4');
  socket.on('message', (bytes, from) => {
    const query = read(bytes);
    const answer = query && answerName(known, query);
    if (answer) socket.send(cut(answer, query), from.port, from.address, () => {});
  });
  socket.bind(port, '0.0.0.0');
  createServer((client) => serveStream(known, client)).listen(port, '0.0.0.0');
}

function serveStream(known: Known, client: Socket): void {
  let received: Buffer = Buffer.alloc(0);
  client.on('error', () => client.destroy());
  client.setTimeout(10_000, () => client.destroy());
  client.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      const query = read(received.subarray(2, end));
      received = received.subarray(end);
      const answer = query && answerName(known, query);
      if (!answer) return void client.destroy();
      const bytes = encode(answer);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      client.write(Buffer.concat([length, bytes]));
    }
  });
}

/** Null if the bytes are not a message. */
function read(bytes: Buffer): DecodedPacket | null {
  try {
    return decode(bytes);
  } catch {
    return null;
  }
}

/**
 * The whole answer if the client accepts its size in a datagram, else the question alone with TC.
 */
function cut(answer: Packet, query: DecodedPacket): Buffer {
  const option = query.additionals?.find(({ type }) => type === 'OPT');
  const size = (option as { udpPayloadSize?: number } | undefined)?.udpPayloadSize ?? 0;
  const bytes = encode(answer);
  if (bytes.length <= Math.max(UDP_BYTES_MIN, size)) return bytes;
  return encode({ ...answer, flags: (answer.flags ?? 0) | FLAG_TC, answers: [] });
}
