// Entry: `agent-process.ts FOLDER ARENA`. The node's agent. Prints a line of JSON for every image:
// its time (CLOCK_MONOTONIC, ms), and the durations of compile and publish.
import { join } from 'node:path';
import { startAgent } from '../../../control/agent/agent.ts';
import { BUSY_POLL_AUTO } from '../../../datapath/worker/busy-poll.ts';
import { NODE_NAME, UPLINK } from './cluster.ts';
import { nowMs, type Published } from './talk.ts';

const [folder, arena] = process.argv.slice(2) as [string, string];
const complain = (particulars: object, message: string) =>
  console.error(JSON.stringify(particulars), message);
const agent = await startAgent(
  {
    node: NODE_NAME,
    kubeconfig: join(folder, 'kubeconfig'),
    tun: 'kt0',
    spoofed: null,
    uplink: UPLINK,
    admin: join(folder, 'admin'),
    arena,
    serviceRange: '10.96.0.0/16',
    podRanges: ['10.244.0.0/16'],
    flows: 65_536,
    timeouts: {},
    access: {},
    hostNetwork: false,
    narrow: false,
    setSysctls: false,
    lease: false,
    merge: true,
    busyPoll: BUSY_POLL_AUTO,
    proxy: 'kubetun',
  },
  {
    info(particulars, message) {
      if (!message.endsWith('published')) return;
      const { ms, services } = particulars as { ms: number; services: number };
      const published: Published = { atMs: nowMs(), ms, services };
      console.log(JSON.stringify(published));
    },
    warn: complain,
    error: complain,
  },
);
process.once('SIGTERM', () => void agent.stop().then(() => process.exit(0)));
console.log('ready');
