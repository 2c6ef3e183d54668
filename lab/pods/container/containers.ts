// All containers of a pod.
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import type { ProcessId } from '../../host/process.ts';
import type { PodRecord } from '../sandbox/records.ts';
import type { PodContainers, RestartPolicy } from '../status/phase.ts';
import { ContainerRunner } from './container.ts';
import type { ContainerContext } from './context.ts';
import { isOver, isSidecar, nextToStart, policyOf } from './order.ts';

/** Default grace period of a pod, seconds. */
const GRACE_S_DEFAULT = 30;

export function graceOf({ spec }: Pod): number {
  return spec?.terminationGracePeriodSeconds ?? GRACE_S_DEFAULT;
}

export function restartPolicyOf({ spec }: Pod): RestartPolicy {
  return (spec?.restartPolicy ?? 'Always') as RestartPolicy;
}

export class ContainerSet {
  readonly #inits: ContainerRunner[];
  readonly #containers: ContainerRunner[];

  constructor(pod: Pod, context: ContainerContext) {
    const { initContainers = [], containers = [] } = pod.spec!;
    const waiting = initContainers.length > 0 ? 'PodInitializing' : 'ContainerCreating';
    const make = (isInit: boolean) => (spec: Container) => {
      const policy = policyOf(spec, isInit, restartPolicyOf(pod));
      return new ContainerRunner(spec, policy, context, waiting);
    };
    this.#inits = initContainers.map(make(true));
    this.#containers = containers.map(make(false));
  }

  get all(): ContainerRunner[] {
    return [...this.#inits, ...this.#containers];
  }

  /** Containers with a known process. Init containers come last. */
  get running(): { name: string; process: ProcessId }[] {
    return [...this.#containers, ...this.#inits].flatMap(({ name, process }) =>
      process ? [{ name, process }] : [],
    );
  }

  /** Takes over the containers that an earlier runner started. */
  adopt(record: PodRecord, { status }: Pod): void {
    const statuses = [
      ...(status?.initContainerStatuses ?? []),
      ...(status?.containerStatuses ?? []),
    ];
    // All processes are set first: `adopt` may end strays, and a container without a known process
    // would be taken for one.
    for (const container of this.all) {
      const known = record.containers.find(({ name }) => name === container.name);
      container.process = known?.process ?? null;
    }
    for (const container of this.all) {
      const earlier = statuses.find(({ name }) => name === container.name);
      container.adopt(container.process, earlier);
    }
  }

  /** Starts the containers that are next in order. If only sidecars are left, it ends them. */
  advance(graceMs: number): Promise<void>[] {
    if (!isOver(this.#inits, this.#containers)) {
      return nextToStart(this.#inits, this.#containers).map((container) => container.start());
    }
    const deadlineMs = Date.now() + graceMs;
    for (const container of this.#sidecars) {
      if (container.process) void container.end(() => deadlineMs);
    }
    return [];
  }

  /** Stops all restarts. */
  beginTermination(): void {
    for (const container of this.all) container.beginTermination();
  }

  /** Ends all containers. Sidecars end after the others, in reverse order of their start. */
  async end(deadlineMs: () => number): Promise<void> {
    const sidecars = this.#sidecars;
    const others = this.all.filter((container) => !sidecars.includes(container));
    await Promise.all(others.map((container) => container.end(deadlineMs)));
    for (const sidecar of sidecars.reverse()) await sidecar.end(deadlineMs);
  }

  /** Stops all work on the containers and leaves them running. */
  stop(): void {
    for (const container of this.all) container.stop();
  }

  describe(): PodContainers {
    const describe = (list: ContainerRunner[]) => list.map((c) => c.describe());
    return {
      inits: describe(this.#inits.filter((c) => !isSidecar(c.spec))),
      sidecars: describe(this.#sidecars),
      containers: describe(this.#containers),
    };
  }

  /** Field path of a container in the pod, as events give it. */
  fieldPath(spec: Container): string {
    const isInit = this.#inits.some((c) => c.spec === spec);
    return `spec.${isInit ? 'initContainers' : 'containers'}{${spec.name}}`;
  }

  get #sidecars(): ContainerRunner[] {
    return this.#inits.filter((c) => isSidecar(c.spec));
  }
}
