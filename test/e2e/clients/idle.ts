// idle ADDR PORT COUNT: opens COUNT connections, prints a line, waits until its input ends, and
// asks a question on each. Prints how many were answered.
import { connect, type Socket } from 'node:net';

const [address, port, count] = process.argv.slice(2) as [string, string, string];

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), address, () => resolve(socket));
    socket.once('error', reject);
  });
}

function ask(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.setTimeout(10_000, () => resolve(false));
    socket.once('data', (text) => resolve(text.toString().startsWith('HTTP/1.1 200')));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.write('GET /hostname HTTP/1.1\r\nHost: x\r\n\r\n');
  });
}

const sockets: Socket[] = [];
while (sockets.length < Number(count)) sockets.push(await open());
console.log('open');
await new Promise((resolve) => process.stdin.once('end', resolve).resume());
const answered = (await Promise.all(sockets.map(ask))).filter(Boolean).length;
console.log(JSON.stringify({ opened: sockets.length, answered }));
process.exit(0);
