// One pod from its first process to its last.
import type { Logger } from 'pino';
import type { KubeClient } from '../../control/kube/client.ts';
import type { Container, Pod } from '../../control/kube/kinds.ts';
import { KubetunError } from '../../datapath/error.ts';
import { endProcesses, isAlive, type ProcessId } from '../host/process.ts';
import { namespacePath, podLink, podNamespace } from '../state/names.ts';
import { dialInNamespace } from './action/dial.ts';
import type { Clock } from './clock.ts';
import {
  type ContainerContext,
  ContainerRunner,
  type Launched,
  type RestartPolicy,
} from './container.ts';
import { buildEnv, expand } from './env.ts';
import type { EventRecorder } from './events.ts';
import { keepPreviousLog, removeLogs } from './logs.ts';
import { makePodNetwork, removePodNetwork } from './network.ts';
import { isOver, isSidecar, nextToStart, policyOf } from './order.ts';
import { phaseOf } from './phase.ts';
import { logPath, type PodRecord, removePodRecord, writePodRecord } from './records.ts';
import { StatusReporter } from './reporter.ts';
import { resolverText } from './resolver.ts';
import { startContainer, startSandbox } from './sandbox.ts';
import { buildStatus, type PodState, timestamp } from './status.ts';
import { endStrays } from './strays.ts';

export interface PodNode {
  name: string;
  namespace: string;
  address: string;
  podCIDR: string;
  mtu: number;
}

/** What a pod needs of its runner. */
export interface PodContext {
  lab: string;
  stateDir: string;
  kube: KubeClient;
  dnsAddress: string;
  projectRoot: string;
  log: Logger;
  clock: Clock;
  random: () => number;
  events: EventRecorder;
  node: PodNode;
  address: string;
}

/** A pod that cannot be made is tried again after so long, and twice as long each time. */
const RETRY_MS_FIRST = 1000;
const RETRY_MS_MAX = 60_000;

export class PodRun {
  readonly uid: string;
  readonly node: string;
  readonly address: string;
  readonly #context: PodContext;
  readonly #namespace: string;
  readonly #name: string;
  readonly #netns: string;
  readonly #started: string;
  readonly #reporter: StatusReporter;
  #pod: Pod;
  #sandbox: ProcessId | null = null;
  #sandboxStart: Promise<ProcessId> | null = null;
  #inits: ContainerRunner[] = [];
  #containers: ContainerRunner[] = [];
  /** Containers whose processes are on no record yet. */
  readonly #starting = new Set<string>();
  /** Containers are complete: what changes of them has consequences. */
  #made = false;
  #problem: PodState['problem'] = null;
  #startup: Promise<void> | null = null;
  #ended: Promise<void> | null = null;
  #deadlineMs = Number.POSITIVE_INFINITY;
  #callOff: () => void = () => {};
  #retryMs = RETRY_MS_FIRST;
  /** Nothing is said of it any more. */
  #silent = false;

  constructor(pod: Pod, context: PodContext) {
    this.#pod = pod;
    this.#context = context;
    this.uid = pod.metadata!.uid!;
    this.node = context.node.name;
    this.address = context.address;
    this.#namespace = pod.metadata!.namespace!;
    this.#name = pod.metadata!.name!;
    this.#netns = podNamespace(context.lab, this.#namespace, this.#name);
    this.#started = String(pod.status?.startTime ?? timestamp());
    this.#reporter = new StatusReporter(context.kube, context.log, pod);
  }

  /** The latest version of the object: others may have written conditions that it is ready by. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.spec?.readinessGates?.length) void this.#report();
  }

  /** Makes network, sandbox and the first containers. What goes wrong is in the pod's status, and tried again. */
  start(): Promise<void> {
    removeLogs(this.#context.stateDir, this.#namespace, this.#name);
    this.#startup ??= this.#start();
    return this.#startup;
  }

  /** Looks after what an earlier runner has started. */
  adopt(record: PodRecord): void {
    this.#sandbox = record.sandbox;
    this.#makeContainers();
    const { initContainerStatuses = [], containerStatuses = [] } = this.#pod.status ?? {};
    const statuses = [...initContainerStatuses, ...containerStatuses];
    const found = this.#all.map((container) => ({
      container,
      process: record.containers.find(({ name }) => name === container.name)?.process ?? null,
      earlier: statuses.find(({ name }) => name === container.name),
    }));
    // Nobody's end may be taken for the end of the others.
    for (const { container, process } of found) container.process = process;
    for (const { container, process, earlier } of found) container.adopt(process, earlier);
    this.#startup = this.#goOn();
  }

  get #all(): ContainerRunner[] {
    return [...this.#inits, ...this.#containers];
  }

  async #start(): Promise<void> {
    const { node, address, log, clock } = this.#context;
    try {
      this.#record();
      await makePodNetwork({
        netns: this.#netns,
        nodeNetns: node.namespace,
        link: podLink(this.#namespace, this.#name),
        address,
        mtu: node.mtu,
      });
      await this.#liveSandbox();
      this.#problem = null;
      this.#makeContainers();
      await this.#goOn();
    } catch (error) {
      const message = lineOf(error);
      log.error({ pod: `${this.#namespace}/${this.#name}`, why: message }, 'pod does not start');
      this.#problem = { reason: 'FailedCreatePodSandBox', message };
      this.#tell('Warning', 'FailedCreatePodSandBox', message);
      if (!this.#ended && !this.#silent) {
        this.#callOff = clock.after(this.#retryMs, () => {
          this.#startup = this.#start();
        });
        this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
      }
    }
    await this.#report();
  }

  #makeContainers(): void {
    const { spec } = this.#pod;
    const context = this.#containerContext();
    const { initContainers = [], containers = [], terminationGracePeriodSeconds = 30 } = spec!;
    const waiting = initContainers.length > 0 ? 'PodInitializing' : 'ContainerCreating';
    const make = (isInit: boolean) => (container: Container) =>
      new ContainerRunner(container, policyOf(container, isInit, this.#policy), context, {
        waiting,
        graceS: terminationGracePeriodSeconds,
      });
    this.#inits = initContainers.map(make(true));
    this.#containers = containers.map(make(false));
  }

  get #policy(): RestartPolicy {
    return (this.#pod.spec?.restartPolicy ?? 'Always') as RestartPolicy;
  }

  /** Starts what is to be started by now, and says how it is. */
  async #goOn(): Promise<void> {
    this.#made = true;
    await Promise.all(this.#advance());
    await this.#report();
  }

  #advance(): Promise<void>[] {
    if (this.#ended || this.#silent) return [];
    if (isOver(this.#inits, this.#containers)) {
      const sidecars = this.#inits.filter((c) => isSidecar(c.spec) && c.process !== null);
      const deadlineMs = this.#context.clock.now() + this.#graceMs;
      for (const sidecar of sidecars) void sidecar.end(() => deadlineMs);
      return [];
    }
    return nextToStart(this.#inits, this.#containers).map((container) => container.start());
  }

  get #graceMs(): number {
    return (this.#pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  /** PID 1 of the pod: another one if it has died, in the network that the pod has. */
  #liveSandbox(): Promise<ProcessId> {
    if (this.#sandbox && isAlive(this.#sandbox)) return Promise.resolve(this.#sandbox);
    if (this.#ended) return Promise.reject(new Error('the pod has ended'));
    // Its containers ended with it, and all of them come to ask for a new one.
    this.#sandboxStart ??= startSandbox(this.#netns, this.#hostname())
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
   * Ends the pod within its grace period, removes what it had, and tells the API server. Called again with less
   * time it hurries.
   */
  end(graceS: number, tell: boolean): Promise<void> {
    const deadlineMs = this.#context.clock.now() + graceS * 1000;
    this.#deadlineMs = Math.min(this.#deadlineMs, deadlineMs);
    this.#ended ??= this.#end(tell);
    return this.#ended;
  }

  /** Leaves the processes running and looks after them no more. Resolves when all of them are on record. */
  async abandon(): Promise<void> {
    this.#silent = true;
    this.#callOff();
    for (const container of this.#all) container.stop();
    await (this.#ended ?? this.#startup)?.catch(() => {});
    for (const container of this.#all) container.stop();
  }

  async #end(tell: boolean): Promise<void> {
    this.#callOff();
    for (const container of this.#all) container.beginTermination();
    // What is half made cannot be taken away.
    await this.#startup;
    await this.#sandboxStart?.catch(() => {});
    const deadlineMs = () => this.#deadlineMs;
    const isLast = (c: ContainerRunner) => this.#inits.includes(c) && isSidecar(c.spec);
    await Promise.all(this.#all.filter((c) => !isLast(c)).map((c) => c.end(deadlineMs)));
    // Side-cars serve the others to the end, and those that came first the longest.
    for (const sidecar of this.#all.filter(isLast).reverse()) await sidecar.end(deadlineMs);
    if (tell) await this.#report();
    this.#silent = true;
    for (const container of this.#all) container.stop();
    if (this.#sandbox) await endProcesses([this.#sandbox], 0);
    await removePodNetwork({ netns: this.#netns });
    removeLogs(this.#context.stateDir, this.#namespace, this.#name);
    removePodRecord(this.#context.stateDir, this.#namespace, this.#name);
    if (tell) await this.#reporter.remove();
  }

  #containerContext(): ContainerContext {
    const { projectRoot, node, address, clock, random } = this.#context;
    return {
      podName: `${this.#name}_${this.#namespace}(${this.uid})`,
      projectRoot,
      clock,
      random,
      dial: (to, port) => dialInNamespace(namespacePath(node.namespace), to, port),
      podIP: address,
      launch: (spec, argv) => this.#launch(spec, argv),
      endStrays: () => this.#endStrays(),
      onChange: () => this.#onChange(),
      onEvent: (type, reason, message, { name }) => {
        const list = this.#inits.some((c) => c.name === name) ? 'initContainers' : 'containers';
        this.#tell(type, reason, message, `spec.${list}{${name}}`);
      },
    };
  }

  async #launch(spec: Container, argv: string[]): Promise<Launched> {
    const { stateDir, projectRoot, dnsAddress, node, address: podIP } = this.#context;
    const hostname = this.#hostname();
    const given = { podIP, hostIP: node.address, hostname };
    const env = buildEnv((spec.env ?? []) as never, this.#pod, given);
    const sandbox = await this.#liveSandbox();
    const logFile = logPath(stateDir, this.#namespace, this.#name, spec.name);
    keepPreviousLog(stateDir, this.#namespace, this.#name, spec.name);
    this.#starting.add(spec.name);
    this.#record();
    try {
      const { parent, process } = await startContainer({
        ...{ sandbox, hostname, projectRoot, stateDir, env, logFile },
        hosts: `127.0.0.1\tlocalhost\n${podIP}\t${hostname}\n`,
        resolv: resolverText(this.#namespace, dnsAddress),
        argv: argv.map((word) => expand(word, env)),
        workingDir: spec.workingDir ?? '/',
      });
      parent.unref();
      const onExit: Launched['onExit'] = (tell) => {
        const { exitCode, signalCode } = parent;
        if (exitCode !== null || signalCode !== null) tell(exitCode, signalCode);
        else parent.once('exit', tell);
      };
      return { process, sandbox, onExit };
    } finally {
      this.#starting.delete(spec.name);
    }
  }

  /** While one is being started nobody knows yet what belongs to it. */
  #endStrays(): void {
    if (!this.#sandbox || this.#starting.size > 0) return;
    const living = this.#all.map((c) => c.process).filter((p): p is ProcessId => p !== null);
    endStrays(this.#sandbox, living);
  }

  #hostname(): string {
    return (this.#pod.spec?.hostname ?? this.#name).slice(0, 63);
  }

  #onChange(): void {
    if (!this.#made) return;
    try {
      this.#record();
    } catch (error) {
      const pod = `${this.#namespace}/${this.#name}`;
      this.#context.log.error({ pod, why: lineOf(error) }, 'the record of a pod cannot be written');
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
      netns: this.#netns,
      address: this.address,
      sandbox: this.#sandbox,
      containers: this.#all
        .filter((c) => c.process !== null)
        .map((c) => ({ name: c.name, process: c.process! })),
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
    const describe = (list: ContainerRunner[]) => list.map((c) => c.describe());
    const parts = {
      inits: describe(this.#inits.filter((c) => !isSidecar(c.spec))),
      sidecars: describe(this.#inits.filter((c) => isSidecar(c.spec))),
      containers: describe(this.#containers),
    };
    return {
      ...parts,
      phase: this.#problem ? 'Pending' : phaseOf(parts, this.#policy, this.#ended !== null),
      podIP: this.#sandbox ? this.address : '',
      hostIP: this.#context.node.address,
      startTime: this.#started,
      problem: this.#problem,
    };
  }

  #tell(type: 'Normal' | 'Warning', reason: string, message: string, fieldPath?: string): void {
    const { events } = this.#context;
    events.record({ pod: this.#pod, type, reason, message, ...(fieldPath && { fieldPath }) });
  }
}

/** What went wrong and what to do about it, in one line. */
function lineOf(error: unknown): string {
  const text = error instanceof KubetunError ? `${error.message}: ${error.next}` : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ');
}
