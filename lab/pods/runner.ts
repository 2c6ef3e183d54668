// Runs the pods of all nodes of a lab, as one kubelet for all of them.
import type { Logger } from 'pino';
import { WALL_CLOCK } from '../../control/clock.ts';
import type { KubeClient } from '../../control/kube/client.ts';
import { isNotFound } from '../../control/kube/error.ts';
import { recordSkip } from '../../control/kube/event.ts';
import { type Informer, startInformer } from '../../control/kube/informer.ts';
import type { KubeKind, Pod, Service } from '../../control/kube/kinds.ts';
import { isAlive } from '../host/process.ts';
import type { PodContext, PodNode } from './container/context.ts';
import type { ServiceRow } from './given/service-env.ts';
import { PodRun } from './pod.ts';
import { PodAddresses } from './sandbox/addresses.ts';
import { removePod } from './sandbox/cleanup.ts';
import { type PodRecord, readPodRecords } from './sandbox/records.ts';
import { PodEvents } from './status/events.ts';

export interface PodRunnerOptions {
  lab: string;
  stateDir: string;
  kube: KubeClient;
  nodes: PodNode[];
  dnsAddress: string;
  projectRoot: string;
  log: Logger;
  /** Resolves when the datapath of a node forwards for the first time. */
  forwards: (node: string) => Promise<void>;
}

export interface PodRunner {
  /** Stops the runner and leaves the pods running. */
  stop(): Promise<void>;
}

/**
 * Pods that start at the same time. Each start takes several processes, and a machine may have two
 * cores.
 */
const STARTS_MAX = 4;

/**
 * Runs the pods of the API server, and takes over those that an earlier runner left running.
 * Resolves when the list of pods is known.
 */
export async function startPodRunner(options: PodRunnerOptions): Promise<PodRunner> {
  const pods = new Pods(options);
  // A container's environment names the Services that exist when it starts.
  pods.services = await startServices(options);
  await new Promise<void>((resolve) => {
    pods.informer = startInformer(
      options.kube,
      'Pod',
      {},
      {
        onUpsert: (pod: Pod, _before, key) => pods.onPod(pod, key),
        onDelete: (_pod: Pod, key) => pods.onGone(key),
        onSkip: (key, error, object) => skipped(options, { kind: 'Pod', key, object }, error),
        onSynced: () => {
          pods.removeStrays();
          resolve();
        },
      },
    );
  });
  return {
    stop: () => pods.stop(),
  };
}

function startServices(options: PodRunnerOptions): Promise<Informer<ServiceRow>> {
  return new Promise((resolve) => {
    const services = startInformer(
      options.kube,
      'Service',
      { compact: rowOf },
      {
        onUpsert: () => {},
        onDelete: () => {},
        onSynced: () => resolve(services),
        onSkip: (key, error, object) => skipped(options, { kind: 'Service', key, object }, error),
      },
    );
  });
}

/** Reports an object that the runner cannot process. Other objects are not affected. */
function skipped(
  { kube, log }: PodRunnerOptions,
  of: { kind: KubeKind; key: string; object: object },
  error: Error,
): void {
  const { kind, key } = of;
  log.error({ kind, key, why: error.stack }, 'object skipped');
  void recordSkip(kube, of, error.message, 'kubelet');
}

function rowOf({ metadata, spec }: Service): ServiceRow {
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    clusterIP: spec?.clusterIP ?? '',
    ports: (spec?.ports ?? []).map(({ name = '', port, protocol = 'TCP' }) => ({
      ...{ name, port, protocol },
    })),
  };
}

class Pods {
  informer: { stop(): void } | null = null;
  services: Informer<ServiceRow> | null = null;
  readonly #options: PodRunnerOptions;
  readonly #runs = new Map<string, PodRun>();
  readonly #addresses: Map<string, PodAddresses>;
  readonly #nodes: Map<string, PodNode>;
  readonly #waiting: (() => Promise<void>)[] = [];
  /** Pods of an earlier runner that are not taken over yet. */
  readonly #left: Map<string, PodRecord>;
  /**
   * Pods of an earlier runner that are being removed. A new pod of the same name waits for the
   * removal.
   */
  readonly #removals = new Map<string, Promise<void>>();
  readonly #events: PodEvents;
  #starting = 0;

  constructor(options: PodRunnerOptions) {
    this.#options = options;
    this.#events = new PodEvents(options.kube, options.log, WALL_CLOCK);
    this.#nodes = new Map(options.nodes.map((node) => [node.name, node]));
    this.#addresses = new Map(
      options.nodes.map((node) => [node.name, new PodAddresses(node.podCIDR)]),
    );
    const records = readPodRecords(options.stateDir);
    this.#left = new Map(records.map((record) => [`${record.namespace}/${record.name}`, record]));
    for (const { node, address } of records) this.#addresses.get(node)?.claim(address);
  }

  onPod(pod: Pod, key: string): void {
    const node = this.#nodes.get(pod.spec?.nodeName ?? '');
    if (!node) return;
    const run = this.#runs.get(key) ?? this.#adopt(pod, node, key);
    run?.update(pod);
    if (pod.metadata?.deletionTimestamp) return this.#onEnding(pod, run, key);
    if (!run && !hasEnded(pod)) this.#begin(pod, node, key);
  }

  /** The object was deleted without waiting for its node, so there is no status to report. */
  onGone(key: string): void {
    const run = this.#runs.get(key);
    if (run) void this.#end(run, key, 0, false);
  }

  /** Ends pods of an earlier runner whose objects are gone. */
  removeStrays(): void {
    for (const key of [...this.#left.keys()]) void this.#remove(key);
  }

  async stop(): Promise<void> {
    this.informer?.stop();
    this.services?.stop();
    this.#waiting.length = 0;
    await Promise.all([...this.#runs.values()].map((run) => run.abandon()));
  }

  /** Takes over a pod of an earlier runner. Undefined if there is nothing to take over. */
  #adopt(pod: Pod, node: PodNode, key: string): PodRun | undefined {
    const record = this.#left.get(key);
    if (!record || record.uid !== pod.metadata?.uid || !isAdoptable(record)) return;
    this.#left.delete(key);
    const run = new PodRun(pod, this.#contextOf(node, record.address));
    this.#runs.set(key, run);
    run.adopt(record);
    this.#options.log.info({ pod: key }, 'pod adopted');
    return run;
  }

  /** Ends what an earlier runner left of a pod of this name. Never rejects. */
  #remove(key: string): Promise<void> {
    const record = this.#left.get(key);
    if (!record) return this.#removals.get(key) ?? Promise.resolve();
    this.#left.delete(key);
    const { lab, log } = this.#options;
    const removal = removePod(lab, record)
      .then(() => this.#addresses.get(record.node)?.giveBack(record.address))
      .catch((error: unknown) => log.error({ pod: key, why: String(error) }, 'cannot remove pod'))
      .finally(() => this.#removals.delete(key));
    this.#removals.set(key, removal);
    return removal;
  }

  #contextOf(node: PodNode, address: string): PodContext {
    const { nodes: _, ...options } = this.#options;
    const services = () => this.services?.rows() ?? [];
    const own = { clock: WALL_CLOCK, random: Math.random, events: this.#events, services };
    return { ...options, ...own, node, address };
  }

  #begin(pod: Pod, node: PodNode, key: string): void {
    const address = pod.spec?.hostNetwork ? node.address : this.#addresses.get(node.name)!.take();
    if (address === null) {
      this.#refuse(pod, `node ${node.name} has no free address in ${node.podCIDR}`);
      return;
    }
    const run = new PodRun(pod, this.#contextOf(node, address));
    this.#runs.set(key, run);
    this.#waiting.push(async () => {
      await this.#remove(key);
      if (this.#runs.get(key) === run) await run.start();
    });
    this.#next();
  }

  #next(): void {
    while (this.#starting < STARTS_MAX) {
      const start = this.#waiting.shift();
      if (!start) return;
      this.#starting++;
      void start()
        .catch((error: Error) =>
          this.#options.log.error({ why: error.stack }, 'pod does not start'),
        )
        .finally(() => {
          this.#starting--;
          this.#next();
        });
    }
  }

  #onEnding(pod: Pod, run: PodRun | undefined, key: string): void {
    const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata!;
    // An adopted pod has used up part of its grace period. Times of the API are whole seconds.
    const leftS = (Date.parse(String(deletionTimestamp)) - Date.now()) / 1000 + 1;
    const graceS = Math.max(0, Math.min(deletionGracePeriodSeconds, leftS));
    if (run) return void this.#end(run, key, graceS, true);
    // Nothing of it runs here, so only its object is left to delete.
    const { namespace, name, uid } = pod.metadata!;
    this.#options.kube
      .delete('Pod', { namespace: namespace!, name: name! }, { graceS: 0, uid: uid! })
      .catch((error: unknown) => {
        if (!isNotFound(error))
          this.#options.log.warn({ pod: key, why: String(error) }, 'not deleted');
      });
  }

  async #end(run: PodRun, key: string, graceS: number, tell: boolean): Promise<void> {
    const { log } = this.#options;
    try {
      await run.end(graceS, tell);
    } catch (error) {
      log.error({ pod: key, why: String(error) }, 'pod does not end cleanly');
    }
    if (this.#runs.get(key) !== run) return;
    this.#runs.delete(key);
    this.#addresses.get(run.node)!.giveBack(run.address);
    // A new pod of the same name may exist by now.
    const { kube } = this.#options;
    const [namespace, name] = key.split('/') as [string, string];
    const next = await kube.get('Pod', { namespace, name }).catch(() => null);
    if (!next || next.metadata?.uid === run.uid) return;
    try {
      this.onPod(next, key);
    } catch (error) {
      skipped(this.#options, { kind: 'Pod', key, object: next }, error as Error);
    }
  }

  #refuse(pod: Pod, message: string): void {
    const { kube, log } = this.#options;
    const { namespace, name } = pod.metadata!;
    log.warn({ pod: `${namespace}/${name}`, message }, 'pod refused');
    const status = { phase: 'Failed', reason: 'OutOfPods', message };
    kube
      .patch('Pod', { namespace: namespace!, name: name! }, { status }, 'status')
      .catch((error: unknown) =>
        log.warn({ why: String(error) }, 'the API server refuses the status'),
      );
  }
}

/** False if an unrecorded container may run: it was being started when its runner ended. */
function isAdoptable({ sandbox, starting = [] }: PodRecord): boolean {
  return sandbox !== null && isAlive(sandbox) && starting.length === 0;
}

/** True for a pod that has ended. It stays as it is, whatever the state of its sandbox. */
function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}
