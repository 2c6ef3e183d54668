// udp ADDR PORT BYTES [COUNT]: sends `echo` with BYTES bytes, each datagram from another port.
// Prints how many came back unchanged, and the errors.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

const [address, port, bytes, count = '1'] = process.argv.slice(2) as [
  string,
  string,
  string,
  string?,
];
const result = { sent: 0, same: 0, other: 0, errors: {} as Record<string, number> };

function echo(): Promise<void> {
  return new Promise((resolve) => {
    const payload = randomBytes(Number(bytes));
    const socket = createSocket('udp4');
    const done = () => {
      clearTimeout(timer);
      socket.close();
      resolve();
    };
    const timer = setTimeout(done, 3000);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.message;
      result.errors[code] = (result.errors[code] ?? 0) + 1;
      done();
    });
    socket.on('message', (message) => {
      if (message.equals(payload)) result.same++;
      else result.other++;
      done();
    });
    // The socket is connected, so that it receives ICMP errors.
    socket.connect(Number(port), address, () => {
      result.sent++;
      socket.send(Buffer.concat([Buffer.from('echo '), payload]));
    });
  });
}

for (let i = 0; i < Number(count); i++) await echo();
console.log(JSON.stringify(result));
