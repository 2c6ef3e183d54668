// One pod from its first process to its last.
import type { Logger } from 'pino';
import type { KubeClient } from '../../control/kube/client.ts';
import { isNotFound } from '../../control/kube/error.ts';
import type { Pod } from '../../control/kube/kinds.ts';
import { endProcesses, isAlive, type ProcessId, signal } from '../host/process.ts';
import { podLink, podNamespace } from '../state/names.ts';
import { ContainerRunner, type ContainerSpec } from './container.ts';
import { makePodNetwork, removePodNetwork } from './network.ts';
import { removePodRecord, writePodRecord } from './records.ts';
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

export class PodRun {
  readonly uid: string;
  readonly node: string;
  readonly address: string;
  readonly #context: PodContext;
  readonly #namespace: string;
  readonly #name: string;
  readonly #netns: string;
  readonly #started = timestamp();
  #pod: Pod;
  #sandbox: ProcessId | null = null;
  #containers: ContainerRunner[] = [];
  #problem: PodState['problem'] = null;
  #startup: Promise<void> | null = null;
  #ended: Promise<void> | null = null;
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
  }

  /** The latest version of the object. */
  update(pod: Pod): void {
    this.#pod = pod;
  }

  /** Makes network, sandbox and containers. What goes wrong is in the pod's status. */
  start(): Promise<void> {
    this.#startup ??= this.#start();
    return this.#startup;
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
      this.#sandbox = await startSandbox(this.#netns, this.#hostname());
      this.#record();
      this.#containers = (this.#pod.spec?.containers ?? []).map(
        (spec) => new ContainerRunner(spec as ContainerSpec, this.#containerContext()),
      );
      await Promise.all(this.#containers.map((container) => container.start()));
    } catch (error) {
      const message = (error as Error).message;
      log.error({ pod: `${this.#namespace}/${this.#name}`, why: message }, 'pod does not start');
      this.#problem = { reason: 'FailedCreatePodSandBox', message };
    }
    await this.#report();
  }

  /** Ends the pod within its grace period, removes what it had, and tells the API server. */
  end(graceS: number, tell: boolean): Promise<void> {
    this.#ended ??= this.#end(graceS, tell);
    return this.#ended;
  }

  /** Leaves the processes running and looks after them no more. */
  abandon(): void {
    for (const container of this.#containers) container.stop();
  }

  async #end(graceS: number, tell: boolean): Promise<void> {
    for (const container of this.#containers) container.stop();
    // What is half made cannot be taken away.
    await this.#startup;
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

  #containerContext() {
    const { stateDir, projectRoot, dnsAddress, node, address } = this.#context;
    return {
      pod: this.#pod,
      sandbox: this.#sandbox!,
      stateDir,
      projectRoot,
      hostname: this.#hostname(),
      hosts: `127.0.0.1\tlocalhost\n${address}\t${this.#hostname()}\n`,
      resolv: resolverText(this.#namespace, dnsAddress),
      podIP: address,
      hostIP: node.address,
      onChange: () => {
        this.#record();
        void this.#report();
      },
    };
  }

  #hostname(): string {
    return (this.#pod.spec?.hostname ?? this.#name).slice(0, 63);
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
      if (this.#ended) return;
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

/** pkg/kubelet: getPhase. */
function phaseOf(containers: ContainerRunner[]): PodState['phase'] {
  if (containers.some((c) => c.waits && !c.hasRun)) return 'Pending';
  if (!containers.every((c) => c.isOver)) return 'Running';
  return containers.every((c) => c.exitCode === 0) ? 'Succeeded' : 'Failed';
}
