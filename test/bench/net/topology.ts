// pod1 - node - pod2, in the benchmark's namespaces, the same for every datapath.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { KubetunError } from '../../../datapath/error.ts';

export const NODE_ADDRESS = '172.18.0.11';
export const CLIENT_ADDRESS = '10.244.1.11';
export const SERVER_ADDRESS = '10.244.1.12';
/** The measured Service. The others only fill the tables. */
export const VIP = '10.96.255.200';
export const IPERF_PORT = 5201;
export const CONNECT_PORT = 5300;
export const FLOOD_PORT = 5400;
export const MTU = 1500;
const GATEWAY = '169.254.1.1';
const PREFIX = 'ktbench';

export type Place = 'pod1' | 'node' | 'pod2';
const PLACES: Place[] = ['pod1', 'node', 'pod2'];

export function namespaceOf(place: Place): string {
  return `${PREFIX}-${place}`;
}

/** Removes the rest of an earlier run and creates the three namespaces. */
export function makeTopology(): void {
  removeTopology();
  for (const place of PLACES) ip(['netns', 'add', namespaceOf(place)]);
  const node = namespaceOf('node');
  for (const [place, address] of [
    ['pod1', CLIENT_ADDRESS],
    ['pod2', SERVER_ADDRESS],
  ] as const) {
    const pod = namespaceOf(place);
    batch(pod, [
      'link set lo up',
      `link add eth0 mtu ${MTU} type veth peer name ${place} mtu ${MTU} netns ${node}`,
      `addr add ${address}/32 dev eth0`,
      'link set eth0 up',
      `route add default via ${GATEWAY} dev eth0 onlink`,
    ]);
    batch(node, [`link set ${place} up`, `route add ${address}/32 dev ${place}`]);
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
  // A client opens many connections in a row.
  run('pod1', ['sh', '-c', 'echo "1024 65000" >/proc/sys/net/ipv4/ip_local_port_range']);
  run('pod2', ['sh', '-c', 'echo 4096 >/proc/sys/net/core/somaxconn']);
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

/** Runs a command where the benchmark's client is. */
export function inPod1(command: string[]): string {
  return run('pod1', command);
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
