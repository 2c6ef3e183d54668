// The life of one pod, from its first process to its last.
import type { Container, Pod } from '../../control/kube/kinds.ts';
import { Backoff } from '../../datapath/backoff.ts';
import { KubetunError } from '../../datapath/error.ts';
import { endProcesses, isAlive, type ProcessId } from '../host/process.ts';
import { removeLogs } from '../logs/files.ts';
import { namespacePath, podLink } from '../places/names.ts';
import { dialInNamespace } from './action/network.ts';
import { ContainerSet, graceOf, restartPolicyOf } from './container/containers.ts';
import type { ContainerContext, PodContext } from './container/context.ts';
import type { Program } from './container/images.ts';
import { launchContainer } from './container/launch.ts';
import { messageFile, readMessage } from './container/message.ts';
import type { Given } from './given/downward.ts';
import { MountError } from './given/files.ts';
import { type Surroundings, surroundingsOf } from './given/surroundings.ts';
import { makeVolumes, removeVolumes, volumesFolder } from './given/volumes.ts';
import { endStrays } from './sandbox/cleanup.ts';
import { makePodNetwork, removePodNetwork } from './sandbox/network.ts';
import { type PodRecord, removePodRecord, writePodRecord } from './sandbox/records.ts';
import { startSandbox } from './sandbox/sandbox.ts';
import { phaseOf } from './status/phase.ts';
import { StatusReporter } from './status/reporter.ts';
import { buildStatus, type PodState, timestamp } from './status/status.ts';

/** Retries of a pod that cannot be started. */
const RETRY_PACE = { firstMs: 1000, msMax: 60_000 };

/** The end of a pod by activeDeadlineSeconds. Source: pkg/kubelet/active_deadline.go. */
const DEADLINE = {
  reason: 'DeadlineExceeded',
  message: 'Pod was active on the node longer than the specified deadline',
};

export class PodRun {
  readonly uid: string;
  readonly node: string;
  readonly address: string;
  readonly #context: PodContext;
  readonly #namespace: string;
  readonly #name: string;
  readonly #surroundings: Surroundings;
  readonly #started: string;
  readonly #reporter: StatusReporter;
  #pod: Pod;
  #sandbox: ProcessId | null = null;
  #sandboxStart: Promise<ProcessId> | null = null;
  #containers: ContainerSet;
  /** Containers whose processes are not recorded yet. */
  readonly #starting = new Set<string>();
  /** True once network and sandbox exist. From then on a change of a container has consequences. */
  #made = false;
  #problem: PodState['problem'] = null;
  #failure = '';
  /** Why the pod has failed although its containers did not. */
  #verdict: PodState['problem'] = null;
  /** True once the containers are being ended because the pod has failed. */
  #isFailing = false;
  #callOffDeadline: () => void = () => {};
  #startup: Promise<void> | null = null;
  #ended: Promise<void> | null = null;
  #deadlineMs = Number.POSITIVE_INFINITY;
  #callOff: () => void = () => {};
  readonly #retries = new Backoff(RETRY_PACE);
  /** True once the pod writes no more status or events. */
  #silent = false;

  constructor(pod: Pod, context: PodContext) {
    this.#pod = pod;
    this.#context = context;
    this.uid = pod.metadata!.uid!;
    this.node = context.node.name;
    this.address = context.address;
    this.#namespace = pod.metadata!.namespace!;
    this.#name = pod.metadata!.name!;
    this.#surroundings = surroundingsOf(pod, context);
    this.#started = String(pod.status?.startTime ?? timestamp());
    this.#isFailing = pod.status?.reason === DEADLINE.reason;
    if (this.#isFailing) this.#verdict = DEADLINE;
    this.#reporter = new StatusReporter(context.kube, context.log, context.clock, pod);
    this.#containers = new ContainerSet(pod, this.#containerContext());
  }

  /**
   * Takes a new version of the object. Other clients may have written conditions that its readiness
   * depends on.
   */
  update(pod: Pod): void {
    this.#pod = pod;
    if (this.#made) this.#awaitDeadline();
    if (pod.spec?.readinessGates?.length) void this.#report();
  }

  /**
   * Makes network, sandbox and the first containers. A failure goes into the pod's status, and the
   * start is tried again.
   */
  start(): Promise<void> {
    // The pod may have ended before its turn came.
    if (this.#ended) return this.#ended;
    this.#startup ??= this.#start();
    return this.#startup;
  }

  /** Takes over a pod that an earlier runner started. */
  adopt(record: PodRecord): void {
    this.#sandbox = record.sandbox;
    this.#containers.adopt(record, this.#pod);
    this.#startup = this.#goOn();
  }

  async #start(): Promise<void> {
    const { kube, stateDir } = this.#context;
    try {
      // Logs of an earlier pod of the same name.
      removeLogs(stateDir, this.#namespace, this.#name);
      this.#record();
      await makeVolumes(kube, this.#pod, this.#given, volumesFolder(stateDir, this.uid));
      await this.#makeNetwork();
      await this.#liveSandbox();
      this.#problem = null;
      await this.#goOn();
    } catch (error) {
      this.#onFailure(error);
    }
    await this.#report();
  }

  async #makeNetwork(): Promise<void> {
    if (this.#surroundings.hostNetwork) return;
    const { node, address } = this.#context;
    await makePodNetwork({
      ...this.#place,
      nodeNetns: node.namespace,
      link: podLink(this.#namespace, this.#name),
      address,
      mtu: node.mtu,
    });
  }

  /** Where its network is. */
  get #place() {
    const { lab, node } = this.#context;
    return { lab, node: node.name, attach: node.attach, netns: this.#surroundings.netns };
  }

  #onFailure(error: unknown): void {
    if (this.#ended || this.#silent) return;
    const message = lineOf(error);
    const missing = error instanceof MountError;
    if (!missing) {
      this.#logError(message, 'pod does not start');
      this.#problem = { reason: 'FailedCreatePodSandBox', message };
    }
    const reason = missing ? 'FailedMount' : 'FailedCreatePodSandBox';
    // Retries are frequent, so only a new reason becomes an event.
    if (message !== this.#failure) this.#tell('Warning', reason, message);
    this.#failure = message;
    // A missing object may appear at any time, so its delay does not grow.
    const delayMs = missing ? RETRY_PACE.firstMs : this.#retries.next();
    this.#callOff = this.#context.clock.after(delayMs, () => {
      this.#startup = this.#start();
    });
  }

  /** Starts the containers that are next in order, and reports the status. */
  async #goOn(): Promise<void> {
    this.#made = true;
    this.#awaitDeadline();
    await Promise.all(this.#advance());
    await this.#report();
  }

  /** Ends the containers when activeDeadlineSeconds have passed since the start of the pod. */
  #awaitDeadline(): void {
    this.#callOffDeadline();
    const limitS = this.#pod.spec?.activeDeadlineSeconds;
    if (limitS === undefined || this.#isFailing) return;
    const { clock } = this.#context;
    const leftMs = Date.parse(this.#started) + limitS * 1000 - clock.unixMs();
    if (leftMs <= 0) return void this.#fail(DEADLINE);
    this.#callOffDeadline = clock.after(leftMs, () => this.#awaitDeadline());
  }

  /** Ends the containers and leaves the object, as failed. */
  async #fail(verdict: { reason: string; message: string }): Promise<void> {
    const { phase } = this.#state();
    if (this.#ended || this.#silent || phase === 'Succeeded' || phase === 'Failed') return;
    this.#isFailing = true;
    this.#tell('Normal', verdict.reason, verdict.message);
    const deadlineMs = this.#context.clock.unixMs() + graceOf(this.#pod) * 1000;
    await this.#containers.end(() => Math.min(deadlineMs, this.#deadlineMs));
    this.#verdict = verdict;
    await this.#report();
  }

  #advance(): Promise<void>[] {
    if (this.#ended || this.#silent || this.#isFailing) return [];
    return this.#containers.advance(graceOf(this.#pod) * 1000);
  }

  /** PID 1 of the pod. If it has died, a new one is started in the same network. */
  #liveSandbox(): Promise<ProcessId> {
    if (this.#sandbox && isAlive(this.#sandbox)) return Promise.resolve(this.#sandbox);
    if (this.#ended) return Promise.reject(new Error('the pod has ended'));
    const { netns } = this.#surroundings;
    // All its containers ended with it, and each of them asks for a new one.
    this.#sandboxStart ??= startSandbox(netns, { ...this.#surroundings, ...this.#context })
      .then((sandbox) => {
        this.#sandbox = sandbox;
        this.#record();
        return sandbox;
      })
      .finally(() => {
        this.#sandboxStart = null;
      });
    return this.#sandboxStart;
  }

  /**
   * Ends the pod within its grace period, removes all it had and, with `tell`, deletes its object.
   * A second call with less time shortens the period.
   */
  end(graceS: number, tell: boolean): Promise<void> {
    const deadlineMs = this.#context.clock.unixMs() + graceS * 1000;
    this.#deadlineMs = Math.min(this.#deadlineMs, deadlineMs);
    this.#ended ??= this.#end(tell);
    return this.#ended;
  }

  /**
   * Stops all work on the pod and leaves it running. Resolves when all its processes are recorded.
   */
  async abandon(): Promise<void> {
    this.#silent = true;
    this.#callOff();
    this.#callOffDeadline();
    this.#containers.stop();
    await (this.#ended ?? this.#startup)?.catch(() => {});
    this.#containers.stop();
  }

  async #end(tell: boolean): Promise<void> {
    this.#callOff();
    this.#callOffDeadline();
    this.#containers.beginTermination();
    // A pod cannot be removed while it is being started.
    await this.#startup;
    await this.#sandboxStart?.catch(() => {});
    await this.#containers.end(() => this.#deadlineMs);
    if (tell) await this.#report();
    this.#silent = true;
    this.#containers.stop();
    if (this.#sandbox) await endProcesses([this.#sandbox], 0);
    if (!this.#surroundings.hostNetwork) await removePodNetwork(this.#place);
    removeVolumes(this.#context.stateDir, this.uid);
    removeLogs(this.#context.stateDir, this.#namespace, this.#name);
    removePodRecord(this.#context.stateDir, this.#namespace, this.#name);
    if (tell) await this.#reporter.remove();
  }

  get #given(): Given {
    const { node, address } = this.#context;
    return { podIP: address, hostIP: node.address, hostname: this.#surroundings.hostname };
  }

  #containerContext(): ContainerContext {
    const { projectRoot, node, address, clock, random } = this.#context;
    return {
      podName: `${this.#name}_${this.#namespace}(${this.uid})`,
      projectRoot,
      clock,
      random,
      dial: (to, port) => dialInNamespace(namespacePath(node.namespace), to, port),
      reachable: () => this.#context.forwards(node.name),
      podIP: address,
      graceS: graceOf(this.#pod),
      launch: (spec, program) => this.#launch(spec, program),
      message: ({ name }) => readMessage(messageFile(this.#context.stateDir, this.uid, name)),
      endStrays: () => this.#guard(() => this.#endStrays()),
      onChange: () => this.#guard(() => this.#onChange()),
      onEvent: (type, reason, message, spec) => this.#tell(type, reason, message, spec),
    };
  }

  #launch(spec: Container, program: Program) {
    return launchContainer(spec, program, {
      pod: this.#pod,
      context: this.#context,
      surroundings: this.#surroundings,
      given: this.#given,
      sandbox: () => this.#liveSandbox(),
      onStarting: () => {
        this.#starting.add(spec.name);
        this.#record();
      },
      onStarted: () => this.#starting.delete(spec.name),
      onLack: (reason, message) => this.#tell('Warning', reason, message, spec),
    });
  }

  /**
   * Catches exceptions of process and timer events, so that they affect only this step of this pod.
   */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#logError(String((error as Error).stack), 'a step of a pod fails');
    }
  }

  /** While a container is being started, its processes cannot be told from strays. */
  #endStrays(): void {
    if (!this.#sandbox || this.#starting.size > 0) return;
    const living = this.#containers.running.map(({ process }) => process);
    endStrays(this.#sandbox, living);
  }

  #onChange(): void {
    if (!this.#made) return;
    try {
      this.#record();
    } catch (error) {
      this.#logError(lineOf(error), 'the record of a pod cannot be written');
    }
    void Promise.all(this.#advance());
    void this.#report();
  }

  #record(): void {
    if (this.#ended && this.#silent) return;
    writePodRecord(this.#context.stateDir, {
      namespace: this.#namespace,
      name: this.#name,
      uid: this.uid,
      node: this.node,
      netns: this.#surroundings.netns,
      hostNetwork: this.#surroundings.hostNetwork,
      attach: this.#context.node.attach,
      address: this.address,
      sandbox: this.#sandbox,
      containers: this.#containers.running,
      starting: [...this.#starting],
    });
  }

  #report(): Promise<void> {
    return this.#reporter.report(
      () => (this.#silent ? null : buildStatus(this.#pod, this.#state())),
      (pod) => {
        this.#pod = pod;
      },
    );
  }

  #state(): PodState {
    const parts = this.#containers.describe();
    const phase = phaseOf(parts, restartPolicyOf(this.#pod), this.#ended !== null);
    return {
      ...parts,
      phase: this.#problem ? 'Pending' : this.#verdict ? 'Failed' : phase,
      podIP: this.#sandbox ? this.address : '',
      hostIP: this.#context.node.address,
      startTime: this.#started,
      problem: this.#problem ?? this.#verdict,
    };
  }

  #tell(type: 'Normal' | 'Warning', reason: string, message: string, of?: Container): void {
    const fieldPath = of && { fieldPath: this.#containers.fieldPath(of) };
    this.#context.events.record({ pod: this.#pod, type, reason, message, ...fieldPath });
  }

  #logError(why: string, message: string): void {
    this.#context.log.error({ pod: `${this.#namespace}/${this.#name}`, why }, message);
  }
}

/** An error and its next step, in one line. */
function lineOf(error: unknown): string {
  const { message } = error as Error;
  const text = error instanceof KubetunError ? `${message}: ${error.next}` : message;
  return text.replaceAll(/\s*\n\s*/g, ' ');
}
