// steady ADDR PORT COUNT: keeps COUNT connections open and asks for the server's name on each every
// 100 ms. Prints a line when all are open. Opens a lost one again. At the end of its input, prints
// what was opened, answered and lost; times are ms of the wall clock.
import { connect, type Socket } from 'node:net';

const ASK_MS = 100;
/**
 * A connection without an answer for this long is lost. TCP retransmits within twice the length of
 * an outage, so this allows an outage of half this time.
 */
const SILENT_MS_MAX = 60_000;
const AGAIN_MS = 200;

const [address, port, count] = process.argv.slice(2) as [string, string, string];
const result = {
  opened: 0,
  answered: 0,
  /** Open connections by server. */
  open: {} as Record<string, number>,
  lost: [] as { server: string; openedMs: number; lostMs: number; why: string }[],
};
/** Open connections: time of the last answer, and a function that counts the connection. */
const connections = new Set<{ answeredMs: () => number; countAtEnd: (endMs: number) => void }>();
let stopping = false;
let waiting = Number(count);

function keep(): void {
  if (stopping) return;
  const socket = connect(Number(port), address);
  const openedMs = Date.now();
  let server = '';
  let why = 'closed';
  let timer: NodeJS.Timeout | undefined;
  let answeredMs = openedMs;
  const countAtEnd = (endMs: number) => {
    result.open[server] = (result.open[server] ?? 0) + 1;
    if (server === '' || answeredMs >= endMs) return;
    result.lost.push({ server, openedMs, lostMs: Date.now(), why: 'silent at the end' });
  };
  const connection = { answeredMs: () => answeredMs, countAtEnd };
  connections.add(connection);
  socket.setTimeout(SILENT_MS_MAX, () => socket.destroy(new Error('silent')));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    why = error.code ?? error.message;
  });
  socket.on('close', () => {
    clearTimeout(timer);
    connections.delete(connection);
    if (stopping) return;
    // A connection that is refused before its first answer is not lost.
    if (server !== '') result.lost.push({ server, openedMs, lostMs: Date.now(), why });
    setTimeout(keep, AGAIN_MS);
  });
  socket.on('data', (bytes) => {
    if (server === '') opened();
    server = bytes.toString().split('\r\n\r\n')[1] || server || '?';
    result.answered++;
    answeredMs = Date.now();
    timer = setTimeout(() => ask(socket), ASK_MS);
  });
  ask(socket);
}

function ask(socket: Socket): void {
  if (!socket.destroyed) socket.write('GET /hostname HTTP/1.1\r\nHost: x\r\n\r\n');
}

function opened(): void {
  result.opened++;
  if (--waiting === 0) console.log('open');
}

for (let i = 0; i < Number(count); i++) keep();
await new Promise((resolve) => process.stdin.once('end', resolve).resume());
// Each connection must get one more answer: a stalled one continues when its peer retransmits.
const endMs = Date.now();
const isSilent = () => [...connections].some(({ answeredMs }) => answeredMs() < endMs);
while (isSilent() && Date.now() - endMs < SILENT_MS_MAX) {
  await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
}
stopping = true;
for (const { countAtEnd } of connections) countAtEnd(endMs);
console.log(JSON.stringify(result));
process.exit(0);
