// One container of a pod: started, looked at, started again.
import type { Pod } from '../../control/kube/kinds.ts';
import type { ProcessId } from '../host/process.ts';
import { buildEnv, expand } from './env.ts';
import { resolveProgram } from './images.ts';
import { listeningPorts } from './listening.ts';
import { logPath } from './records.ts';
import { startContainer } from './sandbox.ts';
import { type ContainerState, timestamp } from './status.ts';

export interface ContainerSpec {
  name: string;
  image?: string;
  command?: string[];
  args?: string[];
  workingDir?: string;
  env?: { name: string; value?: string }[];
  ports?: { containerPort: number; protocol?: string }[];
}

export interface ContainerContext {
  pod: Pod;
  sandbox: ProcessId;
  stateDir: string;
  projectRoot: string;
  hostname: string;
  hosts: string;
  resolv: string;
  podIP: string;
  hostIP: string;
  onChange: () => void;
}

/** Back-off between restarts, as a kubelet's: 10 s, doubled to 5 minutes, forgotten after 10 good minutes. */
const BACKOFF_MS_FIRST = 10_000;
const BACKOFF_MS_MAX = 300_000;
const LIVED_WELL_MS = 600_000;
/** A server that does not listen on its declared ports by then counts as ready all the same. */
const LISTEN_MS_MAX = 5000;
const POLL_MS = 10;

export class ContainerRunner {
  readonly name: string;
  process: ProcessId | null = null;
  hasRun = false;
  exitCode: number | null = null;
  readonly #spec: ContainerSpec;
  readonly #context: ContainerContext;
  #ready = false;
  #restarts = 0;
  #backoffMs = 0;
  #state: object = { waiting: { reason: 'ContainerCreating' } };
  #lastState: object = {};
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #startedMs = 0;

  constructor(spec: ContainerSpec, context: ContainerContext) {
    this.#spec = spec;
    this.#context = context;
    this.name = spec.name;
  }

  /** True while it waits to be started. */
  get waits(): boolean {
    return 'waiting' in this.#state;
  }

  /** True if it has ended for good. */
  get isOver(): boolean {
    return 'terminated' in this.#state;
  }

  /** Resolves when it runs and listens, or cannot. */
  async start(): Promise<void> {
    const { pod, stateDir, projectRoot } = this.#context;
    const program = resolveProgram(this.#spec, projectRoot);
    if ('reason' in program) {
      this.#state = { waiting: program };
      return this.#context.onChange();
    }
    const { namespace, name } = pod.metadata!;
    const { sandbox, hostname, hosts, resolv, podIP, hostIP } = this.#context;
    const env = buildEnv(this.#spec.env ?? [], pod, { podIP, hostIP, hostname });
    const container = await startContainer({
      ...{ sandbox, hostname, hosts, resolv, projectRoot, stateDir, env },
      argv: program.argv.map((word) => expand(word, env)),
      workingDir: this.#spec.workingDir ?? '/',
      logFile: logPath(stateDir, namespace!, name!, this.name),
    });
    this.process = container.process;
    this.hasRun = true;
    this.#startedMs = Date.now();
    this.#state = { running: { startedAt: timestamp() } };
    const { parent } = container;
    parent.unref();
    if (parent.exitCode !== null || parent.signalCode !== null) {
      return this.#onExit(parent.exitCode, parent.signalCode);
    }
    parent.once('exit', (code, name) => this.#onExit(code, name));
    await this.#untilListening();
    this.#ready = !this.#stopped && 'running' in this.#state;
    this.#context.onChange();
  }

  /** Starts it no more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  describe(): ContainerState {
    return {
      name: this.name,
      image: this.#spec.image ?? '',
      ready: this.#ready,
      restarts: this.#restarts,
      state: this.#state,
      lastState: this.#lastState,
      id: this.process ? `kubetun://${this.process.pid}-${this.process.start}` : '',
    };
  }

  async #untilListening(): Promise<void> {
    const wanted = (this.#spec.ports ?? [])
      .filter((port) => (port.protocol ?? 'TCP') === 'TCP')
      .map((port) => port.containerPort);
    const until = Date.now() + LISTEN_MS_MAX;
    while (wanted.length > 0 && 'running' in this.#state && !this.#stopped && Date.now() < until) {
      const ports = listeningPorts(this.#context.sandbox.pid);
      if (wanted.every((port) => ports.has(port))) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  #onExit(code: number | null, signalName: string | null): void {
    if (this.#stopped) return;
    this.#ready = false;
    this.exitCode = code ?? 128;
    const policy = this.#context.pod.spec?.restartPolicy ?? 'Always';
    const again = policy === 'Always' || (policy === 'OnFailure' && this.exitCode !== 0);
    const terminated = {
      exitCode: this.exitCode,
      reason: this.exitCode === 0 ? 'Completed' : 'Error',
      ...(signalName && { message: `ended by ${signalName}` }),
      startedAt: timestamp(this.#startedMs),
      finishedAt: timestamp(),
      containerID: this.describe().id,
    };
    this.process = null;
    if (again) this.#restartLater(terminated);
    else this.#state = { terminated };
    this.#context.onChange();
  }

  #restartLater(terminated: object): void {
    const lived = Date.now() - this.#startedMs;
    if (lived > LIVED_WELL_MS) this.#backoffMs = 0;
    const delayMs = this.#backoffMs;
    this.#backoffMs = Math.min(Math.max(delayMs * 2, BACKOFF_MS_FIRST), BACKOFF_MS_MAX);
    this.#lastState = { terminated };
    this.#state = {
      waiting: {
        reason: 'CrashLoopBackOff',
        message: `back-off ${delayMs / 1000}s restarting failed container=${this.name}`,
      },
    };
    this.#timer = setTimeout(() => {
      this.#restarts++;
      void this.start();
    }, delayMs);
  }
}
