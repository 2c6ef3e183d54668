// Entry: `flood-client.ts ADDR PORT FLOWS SECONDS BYTES`. Sends datagrams from FLOWS sockets in
// turn, as fast as it can. Prints how many were sent and how many arrived, and the seconds, as
// JSON.
import { datagramsTo, receive, send, socketAddress } from './sockets.ts';

const ANSWER_MS = 500;
const TRIES = 20;
/** Between two looks at the clock. */
const BURST = 256;

const [host, port, ...numbers] = process.argv.slice(2) as [string, string, ...string[]];
const [flows, seconds, bytes] = numbers.map(Number) as [number, number, number];
const address = socketAddress(host, Number(port));
const sockets = Array.from({ length: flows }, () => datagramsTo(address));
const asking = datagramsTo(address);
const payload = new Uint8Array(bytes);

/** The server's count when everything before has arrived. A question may be lost. */
function counted(): bigint {
  const answer = new Uint8Array(8);
  for (let i = 0; i < TRIES; i++) {
    send(asking, Uint8Array.of(0));
    if (receive(asking, answer, ANSWER_MS) === 8) return new BigInt64Array(answer.buffer)[0]!;
  }
  throw new Error('the server does not answer');
}

const before = counted();
const begun = performance.now();
let sent = 0;
while (performance.now() - begun < seconds * 1000) {
  for (let i = 0; i < BURST; i++) send(sockets[sent++ % flows]!, payload);
}
const took = (performance.now() - begun) / 1000;
const received = Number(counted() - before);
console.log(JSON.stringify({ sent, received, seconds: took }));
