// Entry: `connect-server.ts ADDR PORT`. Takes connections and closes them, until it is ended.
import { acceptOnce, listenOn, socketAddress } from './sockets.ts';

const [address, port] = process.argv.slice(2) as [string, string];
const listener = listenOn(socketAddress(address, Number(port)));
console.log('ready');
while (true) acceptOnce(listener);
