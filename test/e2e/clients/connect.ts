// connect ADDR PORT COUNT [PARALLEL]: opens COUNT connections, each asking /hostname once. Prints
// the answers per server, and the failures per reason.
import { connect } from 'node:net';

const [address, port, count, parallel = '20'] = process.argv.slice(2) as [
  string,
  string,
  string,
  string?,
];
const answers: Record<string, number> = {};
const errors: Record<string, number> = {};
let left = Number(count);

function ask(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), address);
    let text = '';
    socket.setTimeout(5000, () => socket.destroy(new Error('timeout')));
    socket.on('connect', () => {
      socket.write('GET /hostname HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    });
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    let failure = '';
    socket.on('error', (error: NodeJS.ErrnoException) => {
      failure = error.code ?? error.message;
    });
    socket.on('close', () => {
      const name = text.split('\r\n\r\n')[1] ?? '';
      if (failure === '' && name !== '') answers[name] = (answers[name] ?? 0) + 1;
      else errors[failure || 'empty'] = (errors[failure || 'empty'] ?? 0) + 1;
      resolve();
    });
  });
}

async function lane(): Promise<void> {
  while (left-- > 0) await ask();
}

await Promise.all(Array.from({ length: Number(parallel) }, lane));
console.log(JSON.stringify({ answers, errors }));
