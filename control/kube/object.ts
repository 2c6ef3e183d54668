/** Any Kubernetes object, as JSON. Objects in the store never change. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  // biome-ignore lint/suspicious/noExplicitAny: shapes differ by kind; the validators of each kind check them.
  spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  status?: any;
  [field: string]: unknown;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  generateName?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  [field: string]: unknown;
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** A condition in the status of an object. */
export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastUpdateTime?: string;
  lastTransitionTime?: string;
}

export function conditionsOf(object: KubeObject | undefined): Condition[] {
  return object?.status?.conditions ?? [];
}

export function conditionOf(object: KubeObject | undefined, type: string): Condition | undefined {
  return conditionsOf(object).find((condition) => condition.type === type);
}

/** True if the Ready condition of a pod or a node is true. */
export function isReady(object: KubeObject): boolean {
  return conditionOf(object, 'Ready')?.status === 'True';
}

/** The last second with a four-digit year. */
const TIME_MS_MAX = Date.UTC(9999, 11, 31, 23, 59, 59);

/** A time as the API writes it: whole seconds, UTC. The default is now. */
export function timestamp(ms: number = Date.now()): string {
  return `${new Date(Math.min(ms, TIME_MS_MAX)).toISOString().slice(0, 19)}Z`;
}

/** `namespace/name` of an object. The namespace is '' for cluster-scoped kinds. */
export function keyOf({ metadata }: { metadata: Pick<ObjectMeta, 'namespace' | 'name'> }): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** Random or hash bytes as letters that form no words: apimachinery/pkg/util/rand. */
export function lettersOf(bytes: Uint8Array): string {
  const letters = 'bcdfghjklmnpqrstvwxz2456789';
  return Array.from(bytes, (byte) => letters[byte % letters.length]).join('');
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True if two JSON values are equal. */
export function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((k) => Object.hasOwn(b, k) && isEqual(a[k], b[k]))
  );
}

// Fields whose names users choose, such as `constructor` and `__proto__`, need the two functions
// below.

/** The value of an own field. */
export function own<T>(fields: Record<string, T> | undefined, key: string): T | undefined {
  return fields && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Sets an own field, even one named `__proto__`. */
export function setOwn<T>(fields: Record<string, T>, key: string, value: T): void {
  if (key !== '__proto__') fields[key] = value;
  else {
    const descriptor = { value, writable: true, enumerable: true, configurable: true };
    Object.defineProperty(fields, key, descriptor);
  }
}
