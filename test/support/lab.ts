// A real lab for end-to-end tests: `lab up` at the start of a test file, `lab down` at its end.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { askAgent } from '../../control/admin-client.ts';
import { connectKube, type KubeClient } from '../../control/kube/client.ts';
import type { Container, Pod } from '../../control/kube/kinds.ts';
import { ARENA_DIR } from '../../control/places.ts';
import type { ServiceDescription } from '../../control/sync/describe.ts';
import type { CounterRow } from '../../datapath/observe/counters.ts';
import { commandIn, resolvePlace } from '../../lab/life/target.ts';
import { kubeconfigPath, PROJECT_ROOT } from '../../lab/places/paths.ts';
import { requireLab } from '../../lab/state/record.ts';
import { nodeDefaults } from '../../lab/topology/topology.ts';

/** True if pods of labs have cables to their node's kernel: KUBETUN_ATTACH=veth. */
export const HAS_CABLES = nodeDefaults().attach === 'veth';
/** Options of tests that need pods with cables. */
export const ON_CABLES = { skip: !HAS_CABLES && 'pods have no cables with attach tun' };

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export const NODE = join(PROJECT_ROOT, 'node_modules/node/bin/node');
const KUBETUN = join(PROJECT_ROOT, 'scripts/kubetun');
/** Time limit of a command. Benchmarks beside another test file take minutes. */
const COMMAND_MS_MAX = 300_000;

/** Runs the command line as a user would. */
export function kubetun(...args: string[]): Outcome {
  return kubetunWith({}, ...args);
}

/** Runs the command line with other environment variables. */
export function kubetunWith(env: Record<string, string>, ...args: string[]): Outcome {
  const options = { encoding: 'utf8' as const, env: { ...process.env, ...env } };
  const limits = { timeout: COMMAND_MS_MAX, maxBuffer: 64 * 1024 * 1024 };
  const { status, stdout, stderr } = spawnSync(KUBETUN, args, { ...options, ...limits });
  return { code: status, stdout, stderr };
}

/** Runs the command line beside the test. */
export function startKubetun(...args: string[]): Promise<Outcome> {
  const options = { timeout: COMMAND_MS_MAX, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    const child = execFile(KUBETUN, args, options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** A command running in a place of the lab, and its output so far. */
export interface Running {
  child: ChildProcess;
  output: () => string;
  done: Promise<Outcome>;
}

export class TestLab {
  readonly name: string;
  readonly kube: KubeClient;

  constructor(name: string) {
    this.name = name;
    this.kube = connectKube(kubeconfigPath(name));
  }

  /** Starts a command in `[NS/]POD`, `node/NAME`, `cloud` or `internet`, with an open input. */
  start(target: string, command: string[]): Running {
    const place = resolvePlace(requireLab(this.name), target);
    const [file, ...args] = commandIn(place, command) as [string, ...string[]];
    const child = spawn(file, args, { stdio: 'pipe' });
    child.stdin.on('error', () => {});
    const out = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      out.stderr += text;
    });
    const done = new Promise<Outcome>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, ...out }));
    });
    return { child, output: () => out.stdout, done };
  }

  /** Runs a command to its end; fails the test unless it exits with 0. */
  async run(target: string, ...command: string[]): Promise<string> {
    const { child, done } = this.start(target, command);
    child.stdin?.end();
    const { code, stdout, stderr } = await done;
    if (code === 0) return stdout;
    throw new Error(`${target}: ${command.join(' ')} ended with ${code}: ${stderr || stdout}`);
  }

  /** True if a command exits with 0. */
  async succeeds(target: string, ...command: string[]): Promise<boolean> {
    return this.run(target, ...command).then(
      () => true,
      () => false,
    );
  }

  /** Runs a program of test/e2e/clients, which prints JSON. */
  async client<T>(target: string, program: string, ...args: (string | number)[]): Promise<T> {
    const text = await this.run(target, ...clientCommand(program, ...args));
    return JSON.parse(text) as T;
  }

  async json<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = kubetun('--lab', this.name, ...args, '-o', 'json');
    if (code !== 0) throw new Error(`kubetun ${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** Every counter of a node's datapath by name. */
  async counters(node: string): Promise<Record<string, number>> {
    const rows = await askAgent<CounterRow[]>(this.name, node, '/counters');
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  }

  async clusterIP(service: string): Promise<string> {
    const found = await this.kube.get('Service', { namespace: 'default', name: service });
    return found.spec!.clusterIP!;
  }

  async podIP(pod: string): Promise<string> {
    const found = await this.kube.get('Pod', { namespace: 'default', name: pod });
    return found.status!.podIP!;
  }

  /** Resolves when every node's table has exactly this many endpoints for a Service port. */
  async untilEndpoints(service: string, count: number, nodes = ['node1', 'node2']): Promise<void> {
    await until(`${service} has ${count} endpoints`, async () => {
      for (const node of nodes) {
        // An agent that has just been killed refuses.
        const asked = askAgent<ServiceDescription[]>(this.name, node, '/services');
        const table = await asked.catch(() => []);
        const row = table.find((r) => r.service === service);
        if ((row?.eligible.length ?? -1) !== count) return false;
      }
      return true;
    });
  }

  /** Resolves when a node's agent answers that is not the killed process. */
  async untilNewAgent(node: string, killed: number): Promise<void> {
    await until('another agent answers', async () => {
      const status = askAgent<{ pid: number }>(this.name, node, '/status').catch(() => null);
      return ((await status)?.pid ?? killed) !== killed;
    });
  }

  async down(): Promise<void> {
    this.kube.close();
    const { code, stderr } = kubetun('lab', 'down', '--lab', this.name);
    if (code !== 0) throw new Error(`lab down: ${stderr}`);
  }
}

export function clientCommand(program: string, ...args: (string | number)[]): string[] {
  const path = join(PROJECT_ROOT, 'test/e2e/clients', `${program}.ts`);
  return [NODE, '--disable-warning=ExperimentalWarning', path, ...args.map(String)];
}

/**
 * Brings a lab up with these objects; `topology` is the content of a topology file. A lab has no
 * DNS server and no Ingress controller unless the topology says `dns` and `ingress`: pods then have
 * the addresses that tests expect.
 */
export function startLab(name: string, objects: object[], topology: object = {}): TestLab {
  const folder = mkdtempSync(join(tmpdir(), 'kubetun-e2e-'));
  try {
    const manifest = join(folder, 'manifest.yaml');
    writeFileSync(manifest, objects.map((object) => stringify(object)).join('---\n'));
    const shape = join(folder, 'topology.yaml');
    writeFileSync(shape, stringify({ dns: false, ingress: false, ...topology }));
    const args = ['lab', 'up', '--lab', name, '-f', manifest, '--topology', shape];
    if (isThere(name)) kubetun('lab', 'down', '--lab', name);
    const { code, stderr } = kubetun(...args);
    if (code === 0) return new TestLab(name);
    kubetun('lab', 'down', '--lab', name);
    throw new Error(`lab up: ${stderr}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Asserts that nothing of a lab is left: no namespace, file, memory or process. */
export function assertGone(name: string): void {
  assert.deepEqual(leftOf(name), { folder: [], namespaces: [], arenas: [], processes: [] });
}

/** True if an interrupted run has left something. */
function isThere(name: string): boolean {
  return Object.values(leftOf(name)).some((list) => list.length > 0);
}

function leftOf(name: string): Record<'folder' | 'namespaces' | 'arenas' | 'processes', string[]> {
  const folder = `/run/kubetun/${name}`;
  const owned = (path: string) =>
    existsSync(path) ? readdirSync(path).filter((n) => n.startsWith(`${name}-`)) : [];
  return {
    folder: existsSync(folder) ? [folder] : [],
    namespaces: owned('/run/netns'),
    arenas: owned(ARENA_DIR),
    processes: readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
      .map((pid) => commandLine(pid))
      .filter((line) => line.includes(name)),
  };
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Polls until a condition holds; fails after `ms` with its name. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  ms = 20_000,
): Promise<void> {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${ms / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A pod that answers on 8080/tcp and 8081/udp with its name. */
export function serverPod(name: string, node: string, labels: object = { app: 'web' }): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'main',
          image: 'agnhost',
          args: ['netexec', '--http-port=8080', '--udp-port=8081'],
          ports: [{ name: 'http', containerPort: 8080 }],
        },
      ],
    },
  };
}

/** A pod without a server. */
export function clientPod(name: string, node: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: 'pause' }],
    },
  };
}

/** A pod with a sleeping container, with further fields in its spec or container. */
export function sleeperPod(
  name: string,
  spec: Partial<NonNullable<Pod['spec']>> = {},
  change: Partial<Container> = {},
): Pod {
  const main = { name: 'main', image: 'busybox', command: ['sleep', 'infinity'], ...change };
  const metadata = { name, namespace: 'default', labels: { app: name } };
  return { metadata, spec: { terminationGracePeriodSeconds: 0, containers: [main], ...spec } };
}

export function iperfPod(name: string, node: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'iperf' } },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          ...{ name: 'main', image: 'iperf3', ports: [{ containerPort: 5201 }] },
          // Lets clients select any congestion control. By default a kernel may reserve some for
          // root.
          securityContext: { capabilities: { add: ['NET_ADMIN'] } },
        },
      ],
    },
  };
}

export function serviceObject(name: string, spec: object): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec };
}
