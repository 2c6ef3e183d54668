import type { ChildProcess } from 'node:child_process';
import {
  batch,
  CONNECT_PORT,
  IPERF_PORT,
  namespaceOf,
  SERVER_ADDRESS,
  start,
  stop,
  VIP,
} from '../topology.ts';
import type { Twin } from '../twin.ts';

let child: ChildProcess | null = null;

/** A TCP proxy in userspace with splicing, on the Service's address in the node's namespace. */
export const haproxy: Twin = {
  name: 'haproxy tcp',
  address: VIP,
  async begin() {
    if (child) return;
    batch(namespaceOf('node'), [`addr add ${VIP}/32 dev lo`]);
    child = await start('node', ['sh', '-c', SCRIPT], 'ready');
  },
  async end() {
    if (!child) return;
    await stop(child);
    child = null;
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
    ` server pod2 ${SERVER_ADDRESS}:${port}`,
  ]),
  '',
].join('\n');

// -db keeps it in the foreground; it listens before it forks nothing and says nothing, so the shell says it.
const SCRIPT = `printf '%s' '${CONFIG}' >/tmp/ktbench-haproxy.cfg
haproxy -c -q -f /tmp/ktbench-haproxy.cfg || exit 1
(sleep 0.5; echo ready) &
exec haproxy -db -f /tmp/ktbench-haproxy.cfg`;
