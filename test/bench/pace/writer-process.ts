// Entry: `writer-process.ts FOLDER SERVICES`. Writes EndpointSlices by commands, a line of JSON
// each.
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connectKube } from '../../../control/kube/client.ts';
import { addressesOf, slice } from './cluster.ts';
import { nowMs } from './talk.ts';

/** Commands to it. */
export interface Order {
  /** Moves the measured Service to this backend. */
  change?: { address: string; targetPort: number };
  /** Changes other Services at this rate per second. 0 stops it. */
  churn?: number;
  /** Changes this many other Services at full speed. */
  burst?: number;
}

/** Its message when a write, or a burst of them, is acknowledged. */
export interface Wrote {
  targetPort: number;
  sentMs: number;
  acknowledgedMs: number;
}

const BURST_PARALLEL = 15;
const TICK_MS = 10;

const [folder, services] = process.argv.slice(2) as [string, string];
const kube = connectKube(join(folder, 'kubeconfig'));
let turn = 0;
let churn: NodeJS.Timeout | null = null;

async function timed(targetPort: number, write: () => Promise<unknown>): Promise<void> {
  const sentMs = nowMs();
  await write();
  const wrote: Wrote = { targetPort, sentMs, acknowledgedMs: nowMs() };
  console.log(JSON.stringify(wrote));
}

function put(name: string, addresses: string[], protocol: 'TCP' | 'UDP', port?: number) {
  const { endpoints, ports } = slice(name, addresses, protocol, port);
  const place = { namespace: 'default', name: `${name}-1` };
  return kube.patch('EndpointSlice', place, { endpoints, ports });
}

function changeAnother(): Promise<unknown> {
  const service = ++turn % Number(services);
  return put(`s${service}`, addressesOf(service, turn), 'TCP');
}

async function burst(count: number): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await changeAnother();
  };
  await timed(0, () => Promise.all(Array.from({ length: BURST_PARALLEL }, lane)));
}

function setChurn(rate: number): void {
  if (churn) clearInterval(churn);
  churn = null;
  if (rate === 0) return;
  churn = setInterval(() => {
    for (let i = 0; i < (rate * TICK_MS) / 1000; i++) void changeAnother();
  }, TICK_MS);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line) as Order;
  if (order.change) {
    const { address, targetPort } = order.change;
    void timed(targetPort, () => put('measured', [address], 'UDP', targetPort));
  }
  if (order.churn !== undefined) setChurn(order.churn);
  if (order.burst !== undefined) void burst(order.burst);
});
// A real controller has an open connection, so that its first write need not pay for one.
await changeAnother();
console.log('ready');
