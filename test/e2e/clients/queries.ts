// queries SERVER PORT NAME COUNT PER_SECOND: asks for A records at a steady rate, each from a new
// socket. A query without an answer is asked once more from the same socket, as musl does it.
// Prints how many were answered at once, how many when asked again, and how many never were.
import { createSocket } from 'node:dgram';
import { decode, encode } from 'dns-packet';

const [server = '', port, name = '', count, perSecond] = process.argv.slice(2);
const AGAIN_MS = 2500;
/** Long: a busy machine is no failure. */
const LOST_MS = 20_000;

type Outcome = 'first' | 'again' | 'failed';

function ask(id: number): Promise<Outcome> {
  const socket = createSocket('udp4');
  const query = encode({ type: 'query', id, flags: 0x100, questions: [{ name, type: 'A' }] });
  const send = () => socket.send(query, Number(port), server, () => {});
  return new Promise((resolve) => {
    let outcome: Outcome = 'first';
    const end = (how: Outcome) => {
      clearTimeout(again);
      clearTimeout(lost);
      socket.close();
      resolve(how);
    };
    const again = setTimeout(() => {
      outcome = 'again';
      send();
    }, AGAIN_MS);
    const lost = setTimeout(() => end('failed'), AGAIN_MS + LOST_MS);
    // Without a connection the kernel reports no ICMP error, and the query waits.
    socket.on('message', (bytes) => {
      const answer = decode(bytes);
      if (answer.id === id && answer.answers?.length === 1) end(outcome);
    });
    send();
  });
}

const outcomes: Promise<Outcome>[] = [];
const startedMs = performance.now();
const stepMs = 1000 / Number(perSecond);
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const due = Math.min(Number(count), Math.ceil((performance.now() - startedMs) / stepMs));
    while (outcomes.length < due) outcomes.push(ask(outcomes.length));
    if (outcomes.length < Number(count)) return;
    clearInterval(timer);
    resolve();
  }, stepMs);
  // The test waits for this line before it kills a pod.
  console.error('asking');
});
const found = await Promise.all(outcomes);
const of = (wanted: Outcome) => found.filter((outcome) => outcome === wanted).length;
console.log(JSON.stringify({ first: of('first'), again: of('again'), failed: of('failed') }));
