// reach MS ADDR:PORT/PROTO...: asks all targets at once and waits MS. Prints each result in order:
// `open`, `refused`, `silent`, or another error. Without targets it reads them from its input, line
// by line.
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [patience, ...ends] = process.argv.slice(2);

function ask(end: string): Promise<string> {
  const [, address = '', port, protocol] = /^(.+):(\d+)\/(\w+)$/.exec(end) ?? [];
  return protocol === 'UDP' ? askUdp(address, Number(port)) : askTcp(address, Number(port));
}

function askTcp(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    const end = (outcome: string) => {
      resolve(outcome);
      socket.destroy();
    };
    socket.on('connect', () => end('open'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(outcomeOf(error)));
    setTimeout(end, Number(patience), 'silent').unref();
  });
}

function askUdp(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    let over = false;
    const end = (outcome: string) => {
      resolve(outcome);
      if (!over) socket.close();
      over = true;
    };
    socket.on('message', () => end('open'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(outcomeOf(error)));
    socket.connect(port, address, () => socket.send('hostname'));
    setTimeout(end, Number(patience), 'silent').unref();
  });
}

function outcomeOf({ code, message }: NodeJS.ErrnoException): string {
  return code === 'ECONNREFUSED' ? 'refused' : (code ?? message);
}

async function askAll(all: string[]): Promise<void> {
  console.log(JSON.stringify(await Promise.all(all.map(ask))));
}

if (ends.length > 0) await askAll(ends);
else for await (const line of createInterface(process.stdin)) await askAll(line.split(' '));
