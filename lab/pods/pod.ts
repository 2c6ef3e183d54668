// One pod from its first process to its last.
import type { Logger } from 'pino';
import type { KubeClient } from '../../control/kube/client.ts';
import { isNotFound } from '../../control/kube/error.ts';
import type { Pod } from '../../control/kube/kinds.ts';
import { KubetunError } from '../../datapath/error.ts';
import { endProcesses, isAlive, type ProcessId, signal } from '../host/process.ts';
import { podLink, podNamespace } from '../state/names.ts';
import { type ContainerContext, ContainerRunner, type ContainerSpec } from './container.ts';
import { makePodNetwork, removePodNetwork } from './network.ts';
import { type PodRecord, removePodRecord, writePodRecord } from './records.ts';
import { resolverText } from './resolver.ts';
import { startSandbox } from './sandbox.ts';
import { buildStatus, type PodState, timestamp } from './status.ts';

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
  node: PodNode;
  address: string;
}

const POLL_MS = 20;
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
  #pod: Pod;
  #sandbox: ProcessId | null = null;
  #sandboxStart: Promise<ProcessId> | null = null;
  #containers: ContainerRunner[] = [];
  #problem: PodState['problem'] = null;
  #startup: Promise<void> | null = null;
  #ended: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = RETRY_MS_FIRST;
  #abandoned = false;
  #reported = '';
  #reporting: Promise<void> = Promise.resolve();

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
  }

  /** The latest version of the object. */
  update(pod: Pod): void {
    this.#pod = pod;
  }

  /** Makes network, sandbox and containers. What goes wrong is in the pod's status, and tried again. */
  start(): Promise<void> {
    this.#startup ??= this.#start();
    return this.#startup;
  }

  /** Looks after what an earlier runner has started. */
  adopt(record: PodRecord): void {
    this.#sandbox = record.sandbox;
    this.#makeContainers();
    const statuses = this.#pod.status?.containerStatuses ?? [];
    for (const container of this.#containers) {
      const known = record.containers.find(({ name }) => name === container.name);
      const earlier = statuses.find(({ name }) => name === container.name);
      container.adopt(known?.process ?? null, earlier);
    }
    this.#startup = this.#report();
  }

  async #start(): Promise<void> {
    const { node, address, log } = this.#context;
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
      await Promise.all(this.#containers.map((container) => container.start()));
    } catch (error) {
      const message = lineOf(error);
      log.error({ pod: `${this.#namespace}/${this.#name}`, why: message }, 'pod does not start');
      this.#problem = { reason: 'FailedCreatePodSandBox', message };
      this.#startLater();
    }
    await this.#report();
  }

  #startLater(): void {
    if (this.#ended || this.#abandoned) return;
    this.#retry = setTimeout(() => {
      this.#startup = this.#start();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }

  #makeContainers(): void {
    this.#containers = (this.#pod.spec?.containers ?? []).map(
      (spec) => new ContainerRunner(spec as ContainerSpec, this.#containerContext()),
    );
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

  /** Ends the pod within its grace period, removes what it had, and tells the API server. */
  end(graceS: number, tell: boolean): Promise<void> {
    this.#ended ??= this.#end(graceS, tell);
    return this.#ended;
  }

  /** Leaves the processes running and looks after them no more. Resolves when all of them are on record. */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    clearTimeout(this.#retry);
    for (const container of this.#containers) container.stop();
    await (this.#ended ?? this.#startup)?.catch(() => {});
    for (const container of this.#containers) container.stop();
  }

  async #end(graceS: number, tell: boolean): Promise<void> {
    clearTimeout(this.#retry);
    for (const container of this.#containers) container.stop();
    // What is half made cannot be taken away.
    await this.#startup;
    await this.#sandboxStart?.catch(() => {});
    for (const container of this.#containers) container.stop();
    const running = () =>
      this.#containers
        .map((c) => c.process)
        .filter((p): p is ProcessId => p !== null && isAlive(p));
    for (const process of running()) signal(process, 'SIGTERM');
    const until = Date.now() + graceS * 1000;
    while (running().length > 0 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    if (this.#sandbox) await endProcesses([this.#sandbox], 0);
    await removePodNetwork({ netns: this.#netns });
    removePodRecord(this.#context.stateDir, this.#namespace, this.#name);
    await this.#reporting;
    if (!tell) return;
    const name = { namespace: this.#namespace, name: this.#name };
    await this.#context.kube
      .delete('Pod', name, { graceS: 0, uid: this.uid })
      .catch((error: unknown) => this.#onApiError(error));
  }

  #containerContext(): ContainerContext {
    const { stateDir, projectRoot, dnsAddress, node, address } = this.#context;
    return {
      pod: this.#pod,
      sandbox: () => this.#liveSandbox(),
      stateDir,
      projectRoot,
      hostname: this.#hostname(),
      hosts: `127.0.0.1\tlocalhost\n${address}\t${this.#hostname()}\n`,
      resolv: resolverText(this.#namespace, dnsAddress),
      podIP: address,
      hostIP: node.address,
      onChange: () => this.#onChange(),
    };
  }

  #hostname(): string {
    return (this.#pod.spec?.hostname ?? this.#name).slice(0, 63);
  }

  #onChange(): void {
    if (this.#ended) return;
    try {
      this.#record();
    } catch (error) {
      const pod = `${this.#namespace}/${this.#name}`;
      this.#context.log.error({ pod, why: lineOf(error) }, 'the record of a pod cannot be written');
    }
    void this.#report();
  }

  #record(): void {
    writePodRecord(this.#context.stateDir, {
      namespace: this.#namespace,
      name: this.#name,
      uid: this.uid,
      node: this.node,
      netns: this.#netns,
      address: this.address,
      sandbox: this.#sandbox,
      containers: this.#containers
        .filter((c) => c.process !== null)
        .map((c) => ({ name: c.name, process: c.process! })),
    });
  }

  /** Writes the status if it says anything new; one write at a time, the last one wins. */
  #report(): Promise<void> {
    this.#reporting = this.#reporting.then(async () => {
      if (this.#ended || this.#abandoned) return;
      const status = buildStatus(this.#pod, this.#state());
      const text = JSON.stringify(status);
      if (text === this.#reported) return;
      this.#reported = text;
      const name = { namespace: this.#namespace, name: this.#name };
      await this.#context.kube
        .patch('Pod', name, { metadata: { uid: this.uid }, status }, 'status')
        .then((pod) => this.update(pod))
        .catch((error: unknown) => this.#onApiError(error));
    });
    return this.#reporting;
  }

  #state(): PodState {
    const containers = this.#containers.map((c) => c.describe());
    return {
      phase: this.#problem ? 'Pending' : phaseOf(this.#containers),
      podIP: this.#sandbox ? this.address : '',
      hostIP: this.#context.node.address,
      startTime: this.#started,
      containers,
      problem: this.#problem,
    };
  }

  #onApiError(error: unknown): void {
    if (isNotFound(error)) return;
    const pod = `${this.#namespace}/${this.#name}`;
    this.#context.log.warn({ pod, why: String(error) }, 'the API server does not take the status');
  }
}

/** What went wrong and what to do about it, in one line. */
function lineOf(error: unknown): string {
  const text = error instanceof KubetunError ? `${error.message}: ${error.next}` : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ');
}

/** pkg/kubelet: getPhase. */
function phaseOf(containers: ContainerRunner[]): PodState['phase'] {
  if (containers.some((c) => c.waits && !c.hasRun)) return 'Pending';
  if (!containers.every((c) => c.isOver)) return 'Running';
  return containers.every((c) => c.exitCode === 0) ? 'Succeeded' : 'Failed';
}
