// Requests of pods and capacity of nodes: pkg/scheduler/framework/plugins/noderesources.
import { type KubeObject, own } from '../../kube/object.ts';
import { parseQuantity, unitsOf } from '../../model/quantity.ts';
import { isOver } from '../pods.ts';

/** Resource -> amount: millicores of cpu, whole units of the others. */
type Amounts = Map<string, number>;
type Quantities = Record<string, string> | undefined;

interface Container {
  restartPolicy?: string;
  resources?: { requests?: Quantities };
}

/** A limit that keeps sums exact. */
const AMOUNT_MAX = 2 ** 50;
/** A node without these resources has no limit for them. */
const BOUNDLESS = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

/** The sum of the requests of each node's pods. */
export class NodeResources {
  readonly #used = new Map<string, Amounts>();

  /**
   * The missing resources of a node for a pod, in the scheduler's words.
   *
   * @param requests the pod's, from {@link requestsOf}.
   */
  refusals(requests: Amounts, { metadata, status }: KubeObject): string[] {
    const allocatable: Quantities = status?.allocatable;
    const used = this.#used.get(metadata.name);
    return [...requests].flatMap(([resource, asked]) => {
      const given = own(allocatable, resource);
      if (asked === 0 || (given === undefined && BOUNDLESS.has(resource))) return [];
      const free = amountOf(resource, given ?? '0') - (used?.get(resource) ?? 0);
      if (asked <= free) return [];
      return resource === 'pods' ? 'Too many pods' : `Insufficient ${resource}`;
    });
  }

  /** Adds a pod, or with -1 removes it. */
  count(pod: KubeObject, by: 1 | -1): void {
    const node: string | undefined = pod.spec.nodeName;
    if (!node || isOver(pod)) return;
    const used = this.#used.get(node) ?? new Map<string, number>();
    for (const [resource, amount] of requestsOf(pod)) add(used, resource, amount * by);
    if (used.get('pods') === 0) this.#used.delete(node);
    else this.#used.set(node, used);
  }
}

/**
 * The requests of a pod, including one of `pods`: the sum of containers and sidecars, or more if
 * an init container with the sidecars before it needs more. Source: component-helpers/resource
 * (PodRequests).
 */
export function requestsOf({ spec }: KubeObject): Amounts {
  const total: Amounts = new Map();
  const sidecars: Amounts = new Map();
  const peak: Amounts = new Map();
  for (const container of (spec.containers ?? []) as Container[]) addAll(total, container);
  for (const container of (spec.initContainers ?? []) as Container[]) {
    const isSidecar = container.restartPolicy === 'Always';
    if (isSidecar) addAll(sidecars, container);
    const running = new Map(sidecars);
    if (!isSidecar) addAll(running, container);
    raise(peak, running);
  }
  for (const [resource, amount] of sidecars) add(total, resource, amount);
  raise(total, peak);
  // Pod-level requests replace the sum of the containers.
  for (const [resource, text] of quantitiesOf(spec.resources?.requests)) {
    total.set(resource, amountOf(resource, text));
  }
  for (const [resource, text] of quantitiesOf(spec.overhead)) {
    add(total, resource, amountOf(resource, text));
  }
  return total.set('pods', 1);
}

function addAll(to: Amounts, { resources }: Container): void {
  for (const [resource, text] of quantitiesOf(resources?.requests)) {
    add(to, resource, amountOf(resource, text));
  }
}

function add(to: Amounts, resource: string, amount: number): void {
  to.set(resource, (to.get(resource) ?? 0) + amount);
}

/** Raises amounts to the larger of both. */
function raise(to: Amounts, others: Amounts): void {
  for (const [resource, amount] of others) {
    to.set(resource, Math.max(to.get(resource) ?? 0, amount));
  }
}

function quantitiesOf(quantities: Quantities): [string, string][] {
  return Object.entries(quantities ?? {});
}

function amountOf(resource: string, text: string): number {
  const units = unitsOf(parseQuantity(String(text)), resource === 'cpu' ? 1e-3 : 1);
  return Math.min(units, AMOUNT_MAX);
}
