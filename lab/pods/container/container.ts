// The life of one container: start, probes, restarts, end.
import type { Container } from '../../../control/kube/kinds.ts';
import { Backoff } from '../../../datapath/backoff.ts';
import { isAlive, type ProcessId } from '../../host/process.ts';
import { type Action, runAction } from '../action/action.ts';
import type { ActionResult } from '../action/network.ts';
import { WaitReason } from '../given/env.ts';
import { ContainerProbes } from '../probe/probes.ts';
import { declaredPorts, untilListening } from '../sandbox/listening.ts';
import type { ContainerState, RestartPolicy, State, Terminated } from '../status/phase.ts';
import { timestamp } from '../status/status.ts';
import type { ContainerContext, EarlierStatus } from './context.ts';
import { resolveProgram } from './images.ts';
import { END_UNKNOWN, type Ending, endingOf, stopContainer } from './stop.ts';

/** Restarts of a container, paced as by a kubelet. */
export const CONTAINER_PACE = {
  firstMs: 0,
  laterMsMin: 10_000,
  msMax: 300_000,
  goodMs: 600_000,
};
/** After this time a container counts as ready even if its declared ports do not listen. */
const LISTEN_MS_MAX = 5000;
/** The same for a container with probes: the longest delay of its first probe. */
const LISTEN_PROBED_MS_MAX = 2000;
/** Poll interval for the end of a process that is not a child of this one. */
const ADOPTED_POLL_MS = 200;
const POST_START_MS_MAX = 600_000;

export class ContainerRunner {
  readonly spec: Container;
  process: ProcessId | null = null;
  /** True once `start` or `adopt` was called. From then on the container restarts by itself. */
  begun = false;
  readonly #policy: RestartPolicy;
  readonly #context: ContainerContext;
  readonly #probes: ContainerProbes;
  readonly #backoff = new Backoff(CONTAINER_PACE);
  #restarts = 0;
  #state: State;
  #lastState: State = {};
  #id = '';
  #startedMs = 0;
  #callOff: () => void = () => {};
  #watch: NodeJS.Timeout | undefined;
  /** The pod is ending: no restart. */
  #ending = false;
  /** `stop` was called: no more actions. */
  #stopped = false;
  #starting: Promise<void> = Promise.resolve();
  /** The process that is being ended, with every deadline asked for. The earliest one counts. */
  #killing: { process: ProcessId; deadlines: (() => number)[]; done: Promise<void> } | null = null;

  /** @param waiting the reason of its status until it is started. */
  constructor(spec: Container, policy: RestartPolicy, context: ContainerContext, waiting: string) {
    this.spec = spec;
    this.#policy = policy;
    this.#context = context;
    this.#state = { waiting: { reason: waiting } };
    this.#probes = new ContainerProbes(spec, {
      clock: context.clock,
      random: context.random,
      attempt: (probe, timeoutMs) => this.#actOnceReachable(probe, timeoutMs),
      onChange: context.onChange,
      onUnhealthy: (kind, output) =>
        this.#tell('Warning', 'Unhealthy', `${kind} probe failed: ${output}`),
      onDead: (kind, graceS) => {
        const probe = `${kind.toLowerCase()} probe`;
        const message = `Container ${this.name} failed ${probe}, will be restarted`;
        this.#killAfter(message, graceS ?? context.graceS);
      },
    });
  }

  get name(): string {
    return this.spec.name;
  }

  /** True if it runs and its startup probe has succeeded. */
  get started(): boolean {
    return this.#probes.started;
  }

  /** Exit code if the container has ended and is not restarted, else null. */
  get result(): number | null {
    const { terminated } = this.#state;
    return terminated && !this.#startsAgain(terminated.exitCode) ? terminated.exitCode : null;
  }

  /** Resolves when it runs and listens, or when it cannot start. */
  start(): Promise<void> {
    this.begun = true;
    this.#starting = this.#tryStart();
    return this.#starting;
  }

  async #tryStart(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      const { message } = error as Error;
      const { reason, retryMs } =
        error instanceof WaitReason ? error : new WaitReason('CreateContainerError', message);
      // Retries are frequent, so only a new reason becomes an event.
      const known = this.#state.waiting?.message === message;
      if (!known) this.#tell('Warning', 'Failed', `Error: ${message}`);
      this.#state = { waiting: { reason, message } };
      this.#startAfter(retryMs, () => this.start());
      this.#context.onChange();
    }
  }

  /**
   * Takes over a container that an earlier runner started. If it was started and has no process, it
   * has ended meanwhile, and the restart policy applies.
   */
  adopt(process: ProcessId | null, earlier: EarlierStatus | undefined): void {
    const { running, terminated } = earlier?.state ?? {};
    const before = earlier?.lastState as State | undefined;
    if (!process && !running && !terminated && !before?.terminated) return;
    this.begun = true;
    this.#restarts = earlier?.restartCount ?? 0;
    this.#lastState = before ?? {};
    this.#id = earlier?.containerID ?? '';
    this.#startedMs = Date.parse(String(running?.startedAt ?? '')) || this.#context.clock.unixMs();
    if (process && isAlive(process)) {
      this.#onProcess(process);
      this.#state = { running: { startedAt: timestamp(this.#startedMs) } };
      const { started = false, ready = false } = earlier ?? {};
      this.#probes.begin(this.#startedMs, { started, ready });
      return this.#watchAdopted(process);
    }
    const known = (terminated as Terminated | undefined) ?? (running ? null : before?.terminated);
    this.#onEnd(known ?? this.#terminated(END_UNKNOWN));
  }

  /** Stops all work on the container and leaves it running. */
  stop(): void {
    this.#stopped = true;
    this.#callOff();
    clearInterval(this.#watch);
    this.#probes.stop();
  }

  /** The pod is ending: no restarts, and only the readiness probe goes on. */
  beginTermination(): void {
    this.#ending = true;
    this.#callOff();
    this.#probes.beginTermination();
  }

  /** Ends the container by the deadline, with its preStop hook. Resolves when it is gone. */
  async end(deadlineMs: () => number): Promise<void> {
    this.beginTermination();
    // A container cannot be removed while it is being started.
    await this.#starting;
    if (this.process) this.#tell('Normal', 'Killing', `Stopping container ${this.name}`);
    await this.#kill(deadlineMs);
  }

  describe(): ContainerState {
    return {
      name: this.name,
      image: this.spec.image ?? '',
      ready: this.#probes.ready,
      started: this.#probes.started,
      restarts: this.#restarts,
      state: this.#state,
      lastState: this.#lastState,
      id: this.#id,
    };
  }

  async #start(): Promise<void> {
    const program = resolveProgram(this.spec, this.#context.projectRoot);
    if ('reason' in program) {
      this.#tell('Warning', 'Failed', program.message);
      this.#state = { waiting: program };
      return this.#context.onChange();
    }
    const launched = await this.#context.launch(this.spec, program);
    this.#startedMs = this.#context.clock.unixMs();
    if (this.#state.terminated) this.#lastState = this.#state;
    this.#state = { running: { startedAt: timestamp(this.#startedMs) } };
    this.#onProcess(launched.process);
    this.#tell(
      'Normal',
      'Pulled',
      `Container image "${this.spec.image}" already present on machine`,
    );
    this.#tell('Normal', 'Created', `Created container: ${this.name}`);
    this.#tell('Normal', 'Started', `Started container ${this.name}`);
    launched.onExit((code, signal) => this.#onEnd(this.#terminated(endingOf(code, signal))));
    const { process } = this;
    const ports = declaredPorts(this.spec);
    const postStart = this.spec.lifecycle?.postStart;
    const hooked = postStart && process && this.#postStart(postStart, process);
    if (!hooked && ports.length === 0) return this.#begin(process);
    this.#context.onChange();
    // Until its ports listen, a server is neither probed nor ready.
    const { readinessProbe, startupProbe } = this.spec;
    const msMax = readinessProbe || startupProbe ? LISTEN_PROBED_MS_MAX : LISTEN_MS_MAX;
    const goOn = () => Boolean(this.#state.running) && !this.#stopped && !this.#ending;
    await untilListening(launched.sandbox.pid, ports, msMax, goOn);
    if (hooked) void hooked.then((good) => good && this.#begin(process));
    else this.#begin(process);
  }

  /** Starts the probes. Without probes the container is ready. */
  #begin(process: ProcessId | null): void {
    if (process && this.process === process && !this.#stopped) this.#probes.begin(this.#startedMs);
    this.#context.onChange();
  }

  #onProcess(process: ProcessId | null): void {
    this.process = process;
    if (process) this.#id = `kubetun://${process.pid}-${process.start}`;
  }

  /**
   * Runs the postStart hook. Until it succeeds the container is neither started nor probed. Returns
   * false if it fails.
   */
  async #postStart(hook: Action, process: ProcessId): Promise<boolean> {
    const { good, output } = await this.#actOnceReachable(hook, POST_START_MS_MAX);
    if (this.process !== process || this.#stopped) return false;
    if (good) return true;
    this.#tell('Warning', 'FailedPostStartHook', `PostStartHook failed: ${output}`);
    this.#killAfter(`FailedPostStartHook: container ${this.name}`, this.#context.graceS);
    return false;
  }

  /** Before the datapath of a new node forwards, its routes lead to no pod. */
  async #actOnceReachable(action: Action, timeoutMs: number): Promise<ActionResult> {
    if (!action.exec && !action.sleep) await this.#context.reachable();
    return this.#act(action, timeoutMs);
  }

  #act(action: Action, timeoutMs: number): Promise<ActionResult> {
    const { dial, podIP } = this.#context;
    if (!this.process)
      return Promise.resolve({ good: false, output: 'the container is not running' });
    return runAction(action, this.process, { dial, podIP, container: this.spec }, timeoutMs);
  }

  #killAfter(message: string, graceS: number): void {
    this.#tell('Normal', 'Killing', message);
    const deadlineMs = this.#context.clock.unixMs() + graceS * 1000;
    void this.#kill(() => deadlineMs);
  }

  #kill(deadlineMs: () => number): Promise<void> {
    const { process } = this;
    if (!process) return Promise.resolve();
    if (this.#killing?.process === process) {
      this.#killing.deadlines.push(deadlineMs);
      return this.#killing.done;
    }
    const deadlines = [deadlineMs];
    const done = stopContainer({
      process,
      gone: () => this.process !== process,
      deadlineMs: () => Math.min(...deadlines.map((deadline) => deadline())),
      preStop: this.#preStop(),
      clock: this.#context.clock,
    });
    this.#killing = { process, deadlines, done };
    return done;
  }

  #preStop(): ((timeoutMs: number) => Promise<void>) | null {
    const hook = this.spec.lifecycle?.preStop;
    if (!hook) return null;
    return async (timeoutMs) => {
      const { good, output } = await this.#act(hook, timeoutMs);
      if (!good) this.#tell('Warning', 'FailedPreStopHook', `PreStopHook failed: ${output}`);
    };
  }

  /** The kernel reports the end of a process to its parent only, so an adopted one is polled. */
  #watchAdopted(process: ProcessId): void {
    this.#watch = setInterval(() => {
      if (isAlive(process)) return;
      clearInterval(this.#watch);
      this.#onEnd(this.#terminated(END_UNKNOWN));
    }, ADOPTED_POLL_MS);
  }

  #terminated(ending: Ending): Terminated {
    const startedAt = timestamp(this.#startedMs);
    const finishedAt = timestamp(this.#context.clock.unixMs());
    const message = this.#context.message(this.spec);
    const own = { startedAt, finishedAt, containerID: this.#id };
    return { ...ending, ...(message && { message }), ...own };
  }

  #onEnd(terminated: Terminated): void {
    if (this.#stopped) return;
    this.#probes.stop();
    this.process = null;
    this.#state = { terminated };
    this.#context.endStrays();
    if (!this.#ending && this.#startsAgain(terminated.exitCode)) this.#startAgain(terminated);
    this.#context.onChange();
  }

  #startsAgain(exitCode: number): boolean {
    return this.#policy === 'Always' || (this.#policy === 'OnFailure' && exitCode !== 0);
  }

  #startAgain(terminated: Terminated): void {
    const delayMs = this.#backoff.next(this.#context.clock.unixMs() - this.#startedMs);
    if (delayMs > 0) {
      const seconds = delayMs / 1000;
      const { podName } = this.#context;
      const container = `container=${this.name} pod=${podName}`;
      const message = `back-off ${seconds}s restarting failed ${container}`;
      this.#lastState = { terminated };
      this.#state = { waiting: { reason: 'CrashLoopBackOff', message } };
      const event = `Back-off restarting failed container ${this.name} in pod ${podName}`;
      this.#tell('Warning', 'BackOff', event);
    }
    this.#startAfter(delayMs, () => {
      this.#restarts++;
      return this.start();
    });
  }

  #startAfter(ms: number, start: () => Promise<void>): void {
    if (this.#stopped || this.#ending) return;
    this.#callOff = this.#context.clock.after(ms, () => void start());
  }

  #tell(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.onEvent(type, reason, message, this.spec);
  }
}
