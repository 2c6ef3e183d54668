// steady ADDR PORT COUNT: keeps so many connections open and asks for the server's name on each every 100 ms; prints a
// line when all are open. One that ends is opened again. Prints at the end of its input what was opened, answered and
// lost; times are milliseconds of the wall clock.
import { connect, type Socket } from 'node:net';

const ASK_MS = 100;
/** The kernel gives a connection up later than this only where nothing is answered at all. */
const SILENT_MS_MAX = 60_000;
const AGAIN_MS = 200;

const [address, port, count] = process.argv.slice(2) as [string, string, string];
const result = {
  opened: 0,
  answered: 0,
  lost: [] as { server: string; openedMs: number; lostMs: number; why: string }[],
};
let stopping = false;
let waiting = Number(count);

function keep(): void {
  if (stopping) return;
  const socket = connect(Number(port), address);
  const openedMs = Date.now();
  let server = '';
  let why = 'closed';
  let timer: NodeJS.Timeout | undefined;
  socket.setTimeout(SILENT_MS_MAX, () => socket.destroy(new Error('silent')));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    why = error.code ?? error.message;
  });
  socket.on('close', () => {
    clearTimeout(timer);
    if (stopping) return;
    // Refused before its first answer it is no connection that was lost.
    if (server !== '') result.lost.push({ server, openedMs, lostMs: Date.now(), why });
    setTimeout(keep, AGAIN_MS);
  });
  socket.on('data', (bytes) => {
    if (server === '') opened();
    server = bytes.toString().split('\r\n\r\n')[1] || server || '?';
    result.answered++;
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
stopping = true;
console.log(JSON.stringify(result));
process.exit(0);
