// Entry: `connect-client.ts ADDR PORT COUNT`. Makes COUNT connections in sequence and prints
// microseconds as JSON.
import { connectOnce, socketAddress } from './sockets.ts';

const [host, port, count] = process.argv.slice(2) as [string, string, string];
const address = socketAddress(host, Number(port));
const WARM_UP = 500;
let failed = 0;
for (let i = 0; i < WARM_UP; i++) if (!connectOnce(address)) failed++;
const times = new Float64Array(Number(count));
for (let i = 0; i < times.length; i++) {
  const begun = process.hrtime.bigint();
  if (!connectOnce(address)) failed++;
  times[i] = Number(process.hrtime.bigint() - begun) / 1000;
}
times.sort();
const at = (share: number) => times[Math.floor(times.length * share)];
console.log(JSON.stringify({ p50: at(0.5), p95: at(0.95), p99: at(0.99), failed }));
