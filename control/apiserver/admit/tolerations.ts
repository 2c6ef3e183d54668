// How long pods stay on nodes that fail: plugin/pkg/admission/defaulttolerationseconds.
import type { KubeObject } from '../../kube/object.ts';

const KEYS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
const BORNE_S = 300;

/** Pods that say nothing else bear a node that is not ready, or not heard of, for five minutes. */
export function tolerateFailures({ spec }: KubeObject): void {
  const tolerations: { key?: string; effect?: string }[] = spec.tolerations ?? [];
  const missing = KEYS.filter(
    (key) =>
      !tolerations.some((t) => (t.key ?? key) === key && (t.effect || 'NoExecute') === 'NoExecute'),
  );
  if (missing.length === 0) return;
  const added = missing.map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: BORNE_S,
  }));
  spec.tolerations = [...tolerations, ...added];
}
