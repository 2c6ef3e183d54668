import type { KubeObject } from '../../kube/object.ts';
import { controllerOf } from '../owners.ts';
import { isOver } from '../pods.ts';

/**
 * Counts of pods on each node, so that the cost of a choice does not depend on the number of pods.
 */
export class Spread {
  /** Node -> pods on it, and pods on it by {@link groupOf}. */
  readonly #nodes = new Map<string, { all: number; alike: Map<string, number> }>();

  /**
   * The node with the fewest pods of the same group, then the fewest pods, then the first name.
   */
  best(pod: KubeObject, nodes: string[]): string {
    const group = groupOf(pod);
    const scores = nodes.map((name) => {
      const counts = this.#nodes.get(name);
      return { name, alike: counts?.alike.get(group) ?? 0, all: counts?.all ?? 0 };
    });
    scores.sort((a, b) => a.alike - b.alike || a.all - b.all || (a.name < b.name ? -1 : 1));
    return scores[0]!.name;
  }

  /** Adds a pod, or with -1 removes it. */
  count(pod: KubeObject, by: 1 | -1): void {
    const node: string | undefined = pod.spec.nodeName;
    if (!node || isOver(pod)) return;
    const counts = this.#nodes.get(node) ?? { all: 0, alike: new Map<string, number>() };
    const group = groupOf(pod);
    const alike = (counts.alike.get(group) ?? 0) + by;
    counts.all += by;
    if (alike > 0) counts.alike.set(group, alike);
    else counts.alike.delete(group);
    if (counts.all > 0) this.#nodes.set(node, counts);
    else this.#nodes.delete(node);
  }
}

/** The group of a pod: its controller, or its namespace and labels. */
function groupOf({ metadata }: KubeObject): string {
  const owner = controllerOf({ metadata })?.uid;
  const labels = Object.entries(metadata.labels ?? {}).sort();
  return `${metadata.namespace} ${owner ?? JSON.stringify(labels)}`;
}
