// agnhost connect: one connection or datagram, and how it ended. Source: kubernetes/kubernetes
// test/images/agnhost/connect.
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns';
import { connect } from 'node:net';
import { readDuration, readOptions, refuse } from './options.ts';

/** Prints nothing if the address answers, else one of `REFUSED`, `TIMEOUT`, `DNS`, `OTHER`. */
export function connectOnce(args: string[]): void {
  const { options, words } = readOptions(args, {
    ...{ timeout: '5s', protocol: 'tcp', 'udp-data': 'hostname' },
  });
  const [, host, port] = /^(.+):(\d+)$/.exec(words[0] ?? '') ?? [];
  if (!host || !port) refuse(`connect takes HOST:PORT, not ${JSON.stringify(words[0] ?? '')}`);
  const timeoutMs = readDuration('timeout', options.timeout);
  lookup(host, { family: 4 }, (error, address) => {
    if (error) return end(`DNS: ${error.message}`);
    if (timeoutMs > 0) setTimeout(() => end('TIMEOUT'), timeoutMs);
    if (options.protocol === 'tcp') {
      const socket = connect(Number(port), address, () => process.exit(0));
      socket.once('error', endWith);
    } else if (options.protocol === 'udp') sendUdp(address, Number(port), options['udp-data']);
    else refuse(`--protocol takes tcp or udp, not ${options.protocol}`);
  });
}

/** A datagram arrived if the peer answers. */
function sendUdp(address: string, port: number, text: string): void {
  const socket = createSocket('udp4');
  socket.once('error', endWith);
  socket.once('message', () => process.exit(0));
  // Only a connected socket sees that the port is unreachable.
  socket.connect(port, address, () => socket.send(`${text}\n`));
}

function endWith({ code, message }: NodeJS.ErrnoException): never {
  return end(code === 'ECONNREFUSED' ? 'REFUSED' : `OTHER: ${message}`);
}

function end(text: string): never {
  console.error(text);
  process.exit(1);
}
