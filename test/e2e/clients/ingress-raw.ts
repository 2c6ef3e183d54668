// Entry: `ingress-raw.ts ADDRESS`. Reads a list of probes as JSON, sends the bytes of each on a
// connection of its own, and prints what came back, in latin1. Every x-probe gets its number.
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import type { Probe } from '../../support/ingress/probes.ts';

/** Longer than HAProxy waits for the head of a request. */
const QUIET_MS = 8000;
const AT_ONCE = 50;
const address = process.argv[2]!;

function open({ tls }: Probe): Socket {
  if (!tls) return connect(80, address);
  const { servername, alpn } = tls;
  return connectTls({
    ...{ host: address, port: 443, servername, ALPNProtocols: [alpn], rejectUnauthorized: false },
  });
}

/** All bytes until the other end closes. An end of our own could cut a request short. */
function probe(one: Probe, id: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = open(one);
    let answer = '';
    socket.setEncoding('latin1');
    socket.setTimeout(QUIET_MS, () => socket.destroy());
    socket.on('data', (part: string) => {
      answer += part;
      // A connection of HTTP/2, or one with two requests, stays open.
      socket.setTimeout(1000);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.write(Buffer.from(one.bytes.replaceAll('####', String(id).padStart(4, '0')), 'latin1'));
  });
}

const probes = JSON.parse(await text(process.stdin)) as Probe[];
const answers: string[] = [];
let next = 0;
const lane = async () => {
  while (next < probes.length) {
    const id = next++;
    answers[id] = await probe(probes[id]!, id);
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, lane));
console.log(JSON.stringify(answers));
