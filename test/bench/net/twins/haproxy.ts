import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import {
  addressOf,
  batch,
  CONNECT_PORT,
  IPERF_PORT,
  namespaceOf,
  start,
  stop,
  VIP,
} from '../topology.ts';
import type { Twin } from '../twin.ts';

const SERVER = addressOf('pod2');

let child: ChildProcess | null = null;

/** A userspace TCP proxy with splicing, on the Service's address in the node's namespace. */
export const haproxy: Twin = {
  name: 'haproxy tcp',
  tool: { program: 'haproxy', package: 'haproxy' },
  datagrams: false,
  attach: 'veth',
  address: VIP,
  async begin() {
    if (child) return;
    batch(namespaceOf('node'), [`addr add ${VIP}/32 dev lo`]);
    writeFileSync(FILE, CONFIG);
    child = await start('node', ['sh', '-c', SCRIPT], 'ready');
  },
  async end() {
    if (!child) return;
    await stop(child);
    child = null;
    rmSync(FILE, { force: true });
    batch(namespaceOf('node'), [`addr del ${VIP}/32 dev lo`]);
  },
};

const CONFIG = [
  'global',
  ' maxconn 4000',
  'defaults',
  ' mode tcp',
  ' option splice-auto',
  ' timeout connect 5s',
  ' timeout client 60s',
  ' timeout server 60s',
  ...[IPERF_PORT, CONNECT_PORT].flatMap((port) => [
    `listen port${port}`,
    ` bind ${VIP}:${port}`,
    ` server pod2 ${SERVER}:${port}`,
  ]),
  '',
].join('\n');

const FILE = '/tmp/ktbench-haproxy.cfg';

// -db keeps it in the foreground. It prints nothing when it listens, so the shell prints it a
// little later.
const SCRIPT = `(sleep 0.5; echo ready) & exec haproxy -db -f ${FILE}`;
