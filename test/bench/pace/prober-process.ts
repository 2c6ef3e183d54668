// Entry: `prober-process.ts ADDR PORT`. Sends a datagram every millisecond, each from another port.
// Reports the first answer of each backend. On `{"trips": true}` it reports the round trips since
// the last report.
import { createSocket, type Socket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { nowMs } from './talk.ts';

/** The first answer of a backend since an answer of another one. */
export interface FirstAnswer {
  backend: number;
  atMs: number;
}

/** Round trips in ms, and the start of each. */
export interface Trips {
  sentMs: number[];
  tripMs: number[];
  lost: number;
}

const PORT_MIN = 2000;
const PORT_COUNT = 60_000;
const INTERVAL_MS = 1;
const LOST_MS = 1000;
/** Recent backends. Fewer than all, because changes return to the first one in the end. */
const HEARD_MAX = 1000;

const [address, portText] = process.argv.slice(2) as [string, string];
const port = Number(portText);
const question = Buffer.from('?');
const open: { socket: Socket; sentMs: number; isOpen: boolean }[] = [];
const heard = new Set<number>();
let trips: Trips = { sentMs: [], tripMs: [], lost: 0 };

let count = 0;
setInterval(() => {
  probe(PORT_MIN + (count++ % PORT_COUNT));
  sweep();
}, INTERVAL_MS);

function probe(source: number): void {
  const socket = createSocket('udp4');
  const one = { socket, sentMs: Number.NaN, isOpen: true };
  open.push(one);
  socket.once('error', () => close(one));
  socket.once('message', (answer) => {
    const atMs = nowMs();
    trips.sentMs.push(one.sentMs);
    trips.tripMs.push(atMs - one.sentMs);
    announce(Number(answer.toString()), atMs);
    close(one);
  });
  socket.bind(source, () => {
    one.sentMs = nowMs();
    socket.send(question, port, address);
  });
}

/** Flows from before a change reach former backends for a while: no news. */
function announce(backend: number, atMs: number): void {
  if (heard.has(backend)) return;
  heard.add(backend);
  if (heard.size > HEARD_MAX) heard.delete(heard.values().next().value!);
  const first: FirstAnswer = { backend, atMs };
  console.log(JSON.stringify(first));
}

function close(one: { socket: Socket; isOpen: boolean }): void {
  if (!one.isOpen) return;
  one.isOpen = false;
  one.socket.close();
}

function sweep(): void {
  const oldest = nowMs() - LOST_MS;
  while (open[0] && (!open[0].isOpen || open[0].sentMs < oldest)) {
    const one = open.shift()!;
    if (one.isOpen) trips.lost++;
    close(one);
  }
}

createInterface({ input: process.stdin }).on('line', () => {
  console.log(JSON.stringify(trips));
  trips = { sentMs: [], tripMs: [], lost: 0 };
});
console.log('ready');
