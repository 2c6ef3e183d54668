// One container of a pod: started, looked at, started again.
import { constants } from 'node:os';
import type { Pod } from '../../control/kube/kinds.ts';
import { isAlive, type ProcessId } from '../host/process.ts';
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
  /** PID 1 of the pod, started again if it has died. */
  sandbox: () => Promise<ProcessId>;
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
/** How soon the end of a process is seen that is not a child of this one. */
const ADOPTED_POLL_MS = 200;

/** As a kubelet says of a container whose end it has not seen. */
const EXIT_UNKNOWN = 137;
const UNKNOWN = {
  reason: 'ContainerStatusUnknown',
  message: 'it ended while nobody looked after the pod',
};

/** ContainerStateTerminated of the API. */
interface Terminated {
  exitCode: number;
  reason: string;
  message?: string;
  startedAt: string;
  finishedAt: string;
  containerID: string;
}

/** What the API server has of a container from an earlier runner. */
export type EarlierStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

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
  #watch: NodeJS.Timeout | undefined;
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
    this.#startedMs = Date.now();
    try {
      await this.#start();
    } catch (error) {
      const { message } = error as Error;
      this.#state = { waiting: { reason: 'CreateContainerError', message } };
      if (!this.#stopped) this.#startLater();
      this.#context.onChange();
    }
  }

  /**
   * Looks after what an earlier runner has started. Without a process it has ended meanwhile: whether it is
   * started again is up to the pod's restart policy.
   */
  adopt(process: ProcessId | null, earlier: EarlierStatus | undefined): void {
    this.#restarts = earlier?.restartCount ?? 0;
    this.#lastState = earlier?.lastState ?? {};
    const { running, terminated, waiting } = earlier?.state ?? {};
    this.hasRun = true;
    this.process = process;
    this.#startedMs = Date.parse(String(running?.startedAt ?? '')) || Date.now();
    if (process && isAlive(process)) {
      this.#ready = true;
      this.#state = { running: { startedAt: timestamp(this.#startedMs) } };
      return this.#watchAdopted(process);
    }
    const known = terminated ?? (waiting && earlier?.lastState?.terminated);
    this.#onEnd(known ?? this.#terminated(EXIT_UNKNOWN, UNKNOWN));
  }

  async #start(): Promise<void> {
    const { pod, stateDir, projectRoot } = this.#context;
    const program = resolveProgram(this.#spec, projectRoot);
    if ('reason' in program) {
      this.#state = { waiting: program };
      return this.#context.onChange();
    }
    const { namespace, name } = pod.metadata!;
    const { hostname, hosts, resolv, podIP, hostIP } = this.#context;
    const env = buildEnv(this.#spec.env ?? [], pod, { podIP, hostIP, hostname });
    const sandbox = await this.#context.sandbox();
    const container = await startContainer({
      ...{ sandbox, hostname, hosts, resolv, projectRoot, stateDir, env },
      argv: program.argv.map((word) => expand(word, env)),
      workingDir: this.#spec.workingDir ?? '/',
      logFile: logPath(stateDir, namespace!, name!, this.name),
    });
    this.process = container.process;
    this.hasRun = true;
    this.#state = { running: { startedAt: timestamp() } };
    const { parent } = container;
    parent.unref();
    if (parent.exitCode !== null || parent.signalCode !== null) {
      return this.#onExit(parent.exitCode, parent.signalCode);
    }
    parent.once('exit', (code, name) => this.#onExit(code, name));
    await this.#untilListening(sandbox.pid);
    this.#ready = !this.#stopped && 'running' in this.#state;
    this.#context.onChange();
  }

  /** Starts it no more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
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

  async #untilListening(pid: number): Promise<void> {
    const wanted = (this.#spec.ports ?? [])
      .filter((port) => (port.protocol ?? 'TCP') === 'TCP')
      .map((port) => port.containerPort);
    const until = Date.now() + LISTEN_MS_MAX;
    while (wanted.length > 0 && 'running' in this.#state && !this.#stopped && Date.now() < until) {
      const ports = listeningPorts(pid);
      if (wanted.every((port) => ports.has(port))) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Nobody but its parent is told of the end of a process. */
  #watchAdopted(process: ProcessId): void {
    this.#watch = setInterval(() => {
      if (isAlive(process)) return;
      clearInterval(this.#watch);
      this.#onEnd(this.#terminated(EXIT_UNKNOWN, UNKNOWN));
    }, ADOPTED_POLL_MS);
  }

  #onExit(code: number | null, signalName: NodeJS.Signals | null): void {
    const exitCode = signalName ? 128 + constants.signals[signalName] : (code ?? 128);
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    const message = signalName ? { message: `ended by ${signalName}` } : {};
    this.#onEnd(this.#terminated(exitCode, { reason, ...message }));
  }

  #terminated(exitCode: number, why: { reason: string; message?: string }): Terminated {
    const startedAt = timestamp(this.#startedMs);
    const containerID = this.describe().id;
    return { exitCode, ...why, startedAt, finishedAt: timestamp(), containerID };
  }

  #onEnd(terminated: { exitCode: number }): void {
    if (this.#stopped) return;
    this.#ready = false;
    this.process = null;
    this.exitCode = terminated.exitCode;
    const policy = this.#context.pod.spec?.restartPolicy ?? 'Always';
    const again = policy === 'Always' || (policy === 'OnFailure' && this.exitCode !== 0);
    if (again) {
      this.#lastState = { terminated };
      this.#startLater();
    } else {
      this.#state = { terminated };
    }
    this.#context.onChange();
  }

  #startLater(): void {
    const lived = Date.now() - this.#startedMs;
    if (lived > LIVED_WELL_MS) this.#backoffMs = 0;
    const delayMs = this.#backoffMs;
    this.#backoffMs = Math.min(Math.max(delayMs * 2, BACKOFF_MS_FIRST), BACKOFF_MS_MAX);
    const again = this.hasRun;
    if (again) {
      this.#state = {
        waiting: {
          reason: 'CrashLoopBackOff',
          message: `back-off ${delayMs / 1000}s restarting failed container=${this.name}`,
        },
      };
    }
    this.#timer = setTimeout(() => {
      if (again) this.#restarts++;
      void this.start();
    }, delayMs);
  }
}
