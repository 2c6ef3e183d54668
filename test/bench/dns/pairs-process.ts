// Entry: `pairs-process.ts SERVER NAME COUNT`. Asks for A and AAAA of a name at the same time from
// one socket, as resolvers do, each pair from a new one. Nothing is asked twice. Prints how many
// queries got no answer. A connection tracker that races with itself loses the second query.
import { createSocket } from 'node:dgram';
import { encode } from 'dns-packet';

const [server = '', name = '', count] = process.argv.slice(2);
const PORT = 53;
const PARALLEL = 16;
const LOST_MS = 5000;

const queries = (['A', 'AAAA'] as const).map((type, i) =>
  encode({ type: 'query', id: i, flags: 0x100, questions: [{ name, type }] }),
);

/** How many of the two got no answer. */
function askPair(): Promise<number> {
  const socket = createSocket('udp4');
  const missing = new Set([0, 1]);
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      socket.close();
      resolve(missing.size);
    };
    const timer = setTimeout(end, LOST_MS);
    socket.on('message', (bytes) => {
      missing.delete(bytes.readUInt16BE(0));
      if (missing.size === 0) end();
    });
    socket.bind(() => {
      for (const query of queries) socket.send(query, PORT, server, () => {});
    });
  });
}

let [left, lost] = [Number(count), 0];
const startedMs = performance.now();
const lane = async () => {
  while (left-- > 0) lost += await askPair();
};
await Promise.all(Array.from({ length: PARALLEL }, lane));
console.log(JSON.stringify({ lost, ms: performance.now() - startedMs }));
