// Entry: `backend-process.ts PORT COUNT ADDR...`. Opens COUNT consecutive UDP ports, on the
// addresses in turn. Each answers with its number.
import { createSocket } from 'node:dgram';

const [first, count, ...addresses] = process.argv.slice(2) as [string, string, ...string[]];
for (let i = 0; i < Number(count); i++) {
  const port = Number(first) + i;
  const socket = createSocket('udp4');
  const answer = Buffer.from(String(port));
  socket.on('message', (_, from) => socket.send(answer, from.port, from.address));
  await new Promise<void>((resolve) =>
    socket.bind(port, addresses[i % addresses.length], () => resolve()),
  );
}
console.log('ready');
