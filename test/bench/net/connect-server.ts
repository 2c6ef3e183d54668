// Entry: `connect-server.ts ADDR PORT`. Accepts and closes connections until it is stopped.
import { acceptOnce, listenOn, socketAddress } from './sockets.ts';

const [address, port] = process.argv.slice(2) as [string, string];
const listener = listenOn(socketAddress(address, Number(port)));
console.log('ready');
while (true) acceptOnce(listener);
