// A namespace as a cluster node outside a lab: its own cable, routes, rules, and pods routed by a
// CNI. A second namespace has the rest of the world: other hosts, a far node's pod, the API server.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureCredentials, writeKubeconfig } from '../../control/apiserver/http/credentials.ts';
import { type ApiServer, startApiServer } from '../../control/cluster/server.ts';
import { connectKube, type KubeClient } from '../../control/kube/client.ts';
import { listenInNamespace } from '../../datapath/io/netns.ts';
import { clientCommand, NODE, type Outcome, until } from './lab.ts';

export const NODE_ADDRESS = '192.0.2.11';
export const WORLD_ADDRESS = '192.0.2.1';
export const POD_ADDRESS = '10.244.1.5';
export const FAR_POD_ADDRESS = '10.244.7.5';
const PLACES = ['node', 'world', 'pod'] as const;
export type Place = (typeof PLACES)[number];

const RULES_OF_OTHERS = [
  `rule add pref 50 from 198.51.100.0/24 lookup 7`,
  `rule add pref 512 to ${POD_ADDRESS} lookup main`,
];

const SERVER = `
const [name, address, ...ports] = process.argv.slice(1);
for (const port of ports) {
  require('node:http').createServer((_, r) => r.end(name)).listen(Number(port), address);
}
console.log('up');`;

export class RealNode {
  readonly name: string;
  readonly folder = mkdtempSync(join(tmpdir(), 'kubetun-real-'));
  readonly kubeconfig = join(this.folder, 'kubeconfig');
  kube!: KubeClient;
  #api!: ApiServer;
  readonly #children = new Set<ChildProcess>();

  constructor(name: string) {
    this.name = name;
  }

  async start(): Promise<void> {
    this.#removeNamespaces();
    for (const place of PLACES) run('ip', ['netns', 'add', this.namespace(place)]);
    this.#batch('node', [
      'link set lo up',
      `link add eth0 type veth peer name eth0 netns ${this.namespace('world')}`,
      `link add pod1 type veth peer name eth0 netns ${this.namespace('pod')}`,
      `addr add ${NODE_ADDRESS}/24 dev eth0`,
      'addr add 10.244.1.1/32 dev pod1',
      'link set eth0 up',
      'link set pod1 up',
      `route add ${POD_ADDRESS} dev pod1`,
      `route add 10.244.7.0/24 via ${WORLD_ADDRESS}`,
      `route add default via ${WORLD_ADDRESS}`,
      ...RULES_OF_OTHERS,
    ]);
    this.#batch('world', [
      'link set lo up',
      `addr add ${WORLD_ADDRESS}/24 dev eth0`,
      `addr add ${FAR_POD_ADDRESS}/32 dev lo`,
      'addr add 203.0.113.9/32 dev lo',
      'link set eth0 up',
      `route add 10.244.1.0/24 via ${NODE_ADDRESS}`,
      `route add 10.96.0.0/16 via ${NODE_ADDRESS}`,
    ]);
    this.#batch('pod', [
      'link set lo up',
      `addr add ${POD_ADDRESS}/32 dev eth0`,
      'link set eth0 up',
      'route add 10.244.1.1 dev eth0',
      'route add default via 10.244.1.1',
    ]);
    for (const [name, value] of [
      ['ipv4.ip_forward', '0'],
      ['ipv4.conf.all.rp_filter', '1'],
      ['ipv4.ip_local_port_range', '32768 60999'],
      // A new TUN device sends IPv6 router solicitations 4 and 12 s after it is up, which a test
      // would count.
      ['ipv6.conf.default.disable_ipv6', '1'],
    ])
      await this.run('node', 'sysctl', '-qw', `net.${name}=${value}`);
    await this.#startApi();
  }

  async #startApi(): Promise<void> {
    const pki = ensureCredentials(join(this.folder, 'pki'), [WORLD_ADDRESS, '127.0.0.1']);
    const path = `/run/netns/${this.namespace('world')}`;
    const listen = [
      { fd: listenInNamespace(path, WORLD_ADDRESS, 6443) },
      { host: '127.0.0.1', port: 0 },
    ];
    this.#api = await startApiServer({
      ...{ journal: null, kubelet: null, listen, tls: pki, ca: pki.ca, token: pki.token },
      ...{ serviceRange: '10.96.0.0/16', nodePortMin: 30_000, nodePortMax: 32_767 },
      apiAddress: { address: WORLD_ADDRESS, port: 6443 },
    });
    const about = { ca: pki.ca, token: pki.token, name: this.name, namespace: 'default' };
    writeKubeconfig(this.kubeconfig, { ...about, server: `https://${WORLD_ADDRESS}:6443` });
    const own = join(this.folder, 'own');
    writeKubeconfig(own, { ...about, server: `https://127.0.0.1:${this.#api.ports[1]}` });
    this.kube = connectKube(own);
  }

  namespace(place: Place): string {
    return `${this.name}-${place}`;
  }

  /** Runs a command to its end. */
  try(place: Place, ...command: string[]): Promise<Outcome> {
    // Must not block: the API server is in this process.
    const args = ['netns', 'exec', this.namespace(place), ...command];
    return new Promise((resolve) => {
      execFile('ip', args, { timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
      });
    });
  }

  /** Runs a command and returns its output. Throws if it fails. */
  async run(place: Place, ...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(place, ...command);
    if (code === 0) return stdout;
    throw new Error(`${place}: ${command.join(' ')} ended with ${code}: ${stderr || stdout}`);
  }

  /** Starts a command and waits until it has printed `ready`. */
  async spawn(place: Place, ready: string, ...command: string[]): Promise<ChildProcess> {
    const args = [`--net=/run/netns/${this.namespace(place)}`, ...command];
    const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    }
    await until(`${command[0]} says ${ready}: ${said}`, () => {
      if (child.exitCode !== null) throw new Error(`${command.join(' ')} ended: ${said}`);
      return said.includes(ready);
    });
    return child;
  }

  /** An HTTP server that answers with `name`. */
  serve(place: Place, name: string, address: string, ...ports: number[]): Promise<ChildProcess> {
    return this.spawn(place, 'up', NODE, '-e', SERVER, name, address, ...ports.map(String));
  }

  /** Number of answers by server, of `count` requests to an address. */
  async ask(
    from: Place,
    address: string,
    port: number,
    count = 4,
  ): Promise<Record<string, number>> {
    const out = await this.run(from, ...clientCommand('connect', address, port, count, 1));
    const { answers, errors } = JSON.parse(out) as Record<string, Record<string, number>>;
    return { ...answers, ...errors };
  }

  /** Packets that the kernel has sent to the datapath so far. */
  async steered(): Promise<number> {
    const out = await this.run('node', 'ip', '-s', '-j', 'link', 'show', 'kt0');
    const [link] = JSON.parse(out) as { stats64: { tx: { packets: number; dropped: number } } }[];
    return link!.stats64.tx.packets + link!.stats64.tx.dropped;
  }

  #batch(place: Place, lines: string[]): void {
    run('ip', ['-n', this.namespace(place), '-batch', '-'], `${lines.join('\n')}\n`);
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    this.kube?.close();
    await this.#api?.close();
    this.#removeNamespaces();
    rmSync(this.folder, { recursive: true });
  }

  #removeNamespaces(): void {
    const there = new Set(readdirSync('/run/netns'));
    for (const place of PLACES) {
      if (there.has(this.namespace(place))) run('ip', ['netns', 'del', this.namespace(place)]);
    }
  }
}

function run(file: string, args: string[], input = ''): void {
  const { status, stderr } = spawnSync(file, args, { input, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
}
