// Equality and hashes of templates: pkg/controller/deployment/util (EqualIgnoreHash, ComputeHash).
import { createHash } from 'node:crypto';
import { isEqual, isObject, type KubeObject, lettersOf } from '../kube/object.ts';

/** Label with the hash of a pod's template. */
export const HASH_LABEL = 'pod-template-hash';

const HASH_LETTERS = 10;

/** Fields that Go clients omit if they are 0 or false. */
const ZERO_FIELDS = new Set(
  'hostIPC hostNetwork hostPID hostPort initialDelaySeconds readOnly stdin stdinOnce tty'.split(
    ' ',
  ),
);

/** Ten letters for a template. Another value of `collisions` gives other letters. */
export function templateHash(template: unknown, collisions: number): string {
  const text = JSON.stringify([canonical(template), collisions]);
  const digest = createHash('sha256').update(text).digest();
  return lettersOf(digest.subarray(0, HASH_LETTERS));
}

/** True if a ReplicaSet has the template of a Deployment. */
export function isOfTemplate(set: KubeObject, deployment: KubeObject): boolean {
  return isSameTemplate(set.spec.template, deployment.spec.template);
}

export function isSameTemplate(a: unknown, b: unknown): boolean {
  return isEqual(canonical(a), canonical(b));
}

/** A template in normal form. */
function canonical(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => canonical(item));
  if (!isObject(value)) return value;
  const kept = Object.keys(value)
    .filter((name) => !(key === 'labels' && name === HASH_LABEL))
    .sort()
    .map((name) => [name, canonical(value[name], name)] as const)
    .filter(([name, item]) => !isNothing(name, item));
  return Object.fromEntries(kept);
}

function isNothing(key: string, value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (Array.isArray(value)) return value.length === 0;
  return ZERO_FIELDS.has(key) && (value === 0 || value === false);
}
