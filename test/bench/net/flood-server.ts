// Entry: `flood-server.ts ADDR PORT`. Counts datagrams until it is stopped. One byte asks for the
// count, which comes back in 8 bytes, little endian.
import { datagramsAt, receiveFrom, sendTo, socketAddress } from './sockets.ts';

const ROOM_BYTES = 4 << 20;
const [address, port] = process.argv.slice(2) as [string, string];
const fd = datagramsAt(socketAddress(address, Number(port)), ROOM_BYTES);
const data = new Uint8Array(2048);
const from = socketAddress('0.0.0.0', 0);
console.log('ready');
let count = 0n;
while (true) {
  const bytes = receiveFrom(fd, data, from);
  if (bytes > 1) count++;
  else if (bytes === 1) sendTo(fd, new Uint8Array(BigInt64Array.of(count).buffer), from);
}
