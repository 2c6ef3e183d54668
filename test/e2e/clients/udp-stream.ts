// udp-stream receive PORT: receives numbered datagrams, answers the last of each burst, and prints
// how many came, how many were damaged, and how many came out of order. Ends with the sender.
// udp-stream send ADDR PORT BURSTS: sends bursts of datagrams from one port, each when the one
// before it has been answered.
import { createSocket } from 'node:dgram';

const BURST = 48;
/** Payloads by burst. The last datagram of a burst is shorter. */
const SIZES = [18, 600, 1400];
const LAST_BYTES = 12;
const HEADER_BYTES = 8;
const END = 'end';

function datagram(n: number, bytes: number): Buffer {
  const data = Buffer.from(Array.from({ length: bytes }, (_, i) => (n * 31 + i) & 255));
  data.writeUInt32BE(n, 0);
  data.writeUInt32BE(bytes, 4);
  return data;
}

function receive(port: number): void {
  const seen = { received: 0, damaged: 0, outOfOrder: 0 };
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    if (message.toString() === END) {
      console.log(JSON.stringify(seen));
      process.exit(0);
    }
    const n = message.length < HEADER_BYTES ? 0 : message.readUInt32BE(0);
    if (!message.equals(datagram(n, message.length))) seen.damaged++;
    if (n !== seen.received) seen.outOfOrder++;
    seen.received++;
    if (n % BURST === BURST - 1) socket.send(message.subarray(0, 4), from.port, from.address);
  });
  socket.bind(port, () => console.log('ready'));
}

function send(address: string, port: number, bursts: number): void {
  const socket = createSocket('udp4');
  let burst = 0;
  const next = () => {
    if (burst === bursts) return socket.send(END, () => process.exit(0));
    const bytes = SIZES[burst % SIZES.length]!;
    for (let i = 0; i < BURST; i++) {
      socket.send(datagram(burst * BURST + i, i === BURST - 1 ? LAST_BYTES : bytes));
    }
    burst++;
  };
  socket.on('message', next);
  socket.connect(port, address, next);
  // A datagram was lost.
  setTimeout(() => process.exit(1), 10_000);
}

const [what, ...rest] = process.argv.slice(2) as [string, ...string[]];
if (what === 'receive') receive(Number(rest[0]));
else send(rest[0]!, Number(rest[1]), Number(rest[2]));
