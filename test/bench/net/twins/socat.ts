import type { ChildProcess } from 'node:child_process';
import { addressOf, batch, IPERF_PORT, namespaceOf, start, stop, VIP } from '../topology.ts';
import type { Twin } from '../twin.ts';

const SERVER = addressOf('pod2');

let child: ChildProcess | null = null;

/** A userspace TCP proxy that copies bytes, with one process a connection. */
export const socat: Twin = {
  name: 'socat tcp',
  tool: { program: 'socat', package: 'socat' },
  datagrams: false,
  attach: 'veth',
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

const COPY_BYTES = 1 << 17;
// It prints nothing when it listens, so the shell prints it a little later.
const SCRIPT = `(sleep 0.5; echo ready) & exec socat -b ${COPY_BYTES} TCP-LISTEN:${IPERF_PORT},bind=${VIP},reuseaddr,fork TCP:${SERVER}:${IPERF_PORT}`;
