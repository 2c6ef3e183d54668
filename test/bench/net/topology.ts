// pod1 - node - pod2 by veth, pod3 - node - pod4 by TUN, in the benchmark's namespaces.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { KubetunError } from '../../../datapath/error.ts';

export const NODE_ADDRESS = '172.18.0.11';
/** Clients are pod1 and pod3, servers pod2 and pod4. */
const ADDRESSES = {
  pod1: '10.244.1.11',
  pod2: '10.244.1.12',
  pod3: '10.244.1.13',
  pod4: '10.244.1.14',
};
/** The measured Service. The others only fill the tables. */
export const VIP = '10.96.255.200';
export const IPERF_PORT = 5201;
export const CONNECT_PORT = 5300;
export const FLOOD_PORT = 5400;
export const MTU = 1500;
const GATEWAY = '169.254.1.1';
const PREFIX = 'ktbench';

export type Pod = keyof typeof ADDRESSES;
/** `silent` has the devices of the pods that only exist. */
export type Place = Pod | 'node' | 'silent';
const PLACES: Place[] = ['pod1', 'pod2', 'pod3', 'pod4', 'silent', 'node'];
/** How a node reaches its pods. */
export type Attach = 'veth' | 'tun';
/** The device of a pod in both cases. */
export const POD_DEVICE = 'eth0';

export function namespaceOf(place: Place): string {
  return `${PREFIX}-${place}`;
}

/** Removes the rest of an earlier run and creates the namespaces. */
export function makeTopology(): void {
  removeTopology();
  for (const place of PLACES) ip(['netns', 'add', namespaceOf(place)]);
  const node = namespaceOf('node');
  for (const place of podsBy('veth')) {
    batch(namespaceOf(place), [
      `link add ${POD_DEVICE} mtu ${MTU} type veth peer name ${place} mtu ${MTU} netns ${node}`,
      ...addressLines(place),
    ]);
    batch(node, [`link set ${place} up`, `route add ${addressOf(place)}/32 dev ${place}`]);
  }
  for (const place of podsBy('tun')) {
    batch(namespaceOf(place), [
      `tuntap add mode tun name ${POD_DEVICE} vnet_hdr`,
      `link set ${POD_DEVICE} mtu ${MTU} txqueuelen 2000`,
      ...addressLines(place),
    ]);
  }
  batch(node, [
    'link set lo up',
    `addr add ${GATEWAY}/32 dev lo scope host`,
    `addr add ${NODE_ADDRESS}/32 dev lo`,
  ]);
  for (const [path, value] of [
    ['ip_forward', '1'],
    ['conf/all/rp_filter', '0'],
    ['conf/default/rp_filter', '0'],
    ['ip_early_demux', '0'],
    ['ip_local_port_range', '32768 39999'],
  ]) {
    run('node', ['sh', '-c', `echo ${value} >/proc/sys/net/ipv4/${path}`]);
  }
  for (const attach of ['veth', 'tun'] as const) {
    const [client, server] = podsBy(attach);
    // A client opens many connections in a row.
    run(client, ['sh', '-c', 'echo "1024 65000" >/proc/sys/net/ipv4/ip_local_port_range']);
    run(server, ['sh', '-c', 'echo 4096 >/proc/sys/net/core/somaxconn']);
  }
}

/** A pod that sends nothing: its device in the namespace `silent`, and its address. */
export interface SilentPod {
  device: string;
  address: string;
}

/** Silent pods of a node that has `pods` pods altogether. */
export function silentPods(attach: Attach, pods: number): SilentPod[] {
  const subnet = attach === 'veth' ? 2 : 3;
  return Array.from({ length: Math.max(0, pods - podsBy(attach).length) }, (_, n) => ({
    device: `${attach}${n}`,
    address: `10.244.${subnet}.${n + 1}`,
  }));
}

/** Creates or removes silent pods of both kinds. */
export function setSilentPods(verb: 'add' | 'del', pods: number): void {
  const [silent, node] = [namespaceOf('silent'), namespaceOf('node')];
  const [cables, tuns] = [silentPods('veth', pods), silentPods('tun', pods)];
  const devices = [...cables, ...tuns].map(({ device }) => device);
  if (verb === 'del')
    return batch(
      silent,
      devices.map((device) => `link del ${device}`),
    );
  batch(silent, [
    ...cables.flatMap(({ device }) => [
      `link add ${device} mtu ${MTU} type veth peer name ${device} mtu ${MTU} netns ${node}`,
      `link set ${device} up`,
    ]),
    ...tuns.flatMap(({ device }) => [
      `tuntap add mode tun name ${device} vnet_hdr`,
      `link set ${device} mtu ${MTU} txqueuelen 2000 up`,
    ]),
  ]);
  const lines = ({ device, address }: SilentPod) => [
    `link set ${device} up`,
    `route add ${address}/32 dev ${device}`,
  ];
  batch(node, cables.flatMap(lines));
}

/** Client and server. */
export function podsBy(attach: Attach): [client: Pod, server: Pod] {
  return attach === 'veth' ? ['pod1', 'pod2'] : ['pod3', 'pod4'];
}

export function addressOf(pod: Pod): string {
  return ADDRESSES[pod];
}

function addressLines(pod: Pod): string[] {
  return [
    'link set lo up',
    `addr add ${addressOf(pod)}/32 dev ${POD_DEVICE}`,
    `link set ${POD_DEVICE} up`,
    `route add default via ${GATEWAY} dev ${POD_DEVICE} onlink`,
  ];
}

export function removeTopology(): void {
  for (const place of PLACES) spawnSync('ip', ['netns', 'del', namespaceOf(place)]);
}

function ip(args: string[], input?: string): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8', ...(input && { input }) });
  if (status !== 0) throw failed(`ip ${args.join(' ')}`, stderr);
}

/** Lines of `ip -batch` in a namespace. */
export function batch(namespace: string, lines: string[]): void {
  ip(['-n', namespace, '-batch', '-'], `${lines.join('\n')}\n`);
}

/** The command line to run a command in a place. */
export function inside(place: Place, command: string[]): [string, string[]] {
  return ['ip', ['netns', 'exec', namespaceOf(place), ...command]];
}

/** Runs a command in a place and returns its output. Throws KubetunError KT_BENCH. */
export function run(place: Place, command: string[], input?: string): string {
  const [file, args] = inside(place, command);
  const { status, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    ...(input !== undefined && { input }),
  });
  if (status !== 0) throw failed(command.join(' ').slice(0, 100), stderr || stdout);
  return stdout;
}

/** Starts a command in a place and resolves when it prints a line that begins with `ready`. */
export function start(place: Place, command: string[], ready: string): Promise<ChildProcess> {
  const [file, args] = inside(place, command);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes(ready)) resolve(child);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(failed(`${command[0]} ended with ${code}`, errors)));
  });
}

/** Ends a process and waits for it. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await gone;
  clearTimeout(timer);
}

function failed(what: string, why: string): KubetunError {
  return new KubetunError('KT_BENCH', `${what}: ${why.trim().split('\n')[0]}`, '');
}
