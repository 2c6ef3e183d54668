// udp-steady ADDR PORT: asks for the server's name every 20 ms, all from one port, and prints each
// answer on a line. Ends with its input.
import { createSocket } from 'node:dgram';

const [address, port] = process.argv.slice(2) as [string, string];
const socket = createSocket('udp4');
socket.on('message', (message) => console.log(message.toString().trim()));
socket.on('error', (error) => console.log(`error ${error.message}`));
socket.connect(Number(port), address, () => {
  setInterval(() => socket.send('hostname'), 20);
});
process.stdin.on('end', () => process.exit(0)).resume();
