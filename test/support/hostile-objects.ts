// Objects with hostile values in random fields, made from the types of the API: nulls, empty
// values, wrong types, huge values.
import type { KubeKind } from '../../control/kube/kinds.ts';
import { type Attribute, attributesOfModel, modelOfKind } from '../../control/kube/models.ts';

// biome-ignore lint/suspicious/noExplicitAny: any value is possible.
export type Any = any;

/** Numbers from outside in order: the same numbers make the same object. */
export class Choices {
  readonly #numbers: number[];
  #at = 0;

  constructor(numbers: number[]) {
    this.#numbers = numbers;
  }

  below(count: number): number {
    const number = this.#numbers[this.#at++ % this.#numbers.length]!;
    // Other numbers in every round.
    return (number + Math.floor(this.#at / this.#numbers.length)) % count;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Values that hardly any field expects. */
export const HOSTILE: (() => unknown)[] = [
  ...[null, null, null, '', 0, false, true, -1, 1, 1.5, 80, 65_536, 30_080, -0].map((v) => () => v),
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e18, -1e18, 2 ** 63, 1e300].map((v) => () => v),
  ...[
    'x',
    'None',
    '0',
    '-1',
    'constructor',
    '__proto__',
    '../..',
    '\u0000',
    '\ud800',
    '🙂',
    ' ',
  ].map((v) => () => v),
  ...['10.96.0.1', '10.96.7.7', '10.244.1.9', '::1', '300.1.1.1', '0.0.0.0/0', '10.0.0.0/33'].map(
    (v) => () => v,
  ),
  ...['2026-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '1e9', '9'.repeat(40), '100%', '-5%'].map(
    (v) => () => v,
  ),
  () => 'x'.repeat(70_000),
  () => ({}),
  () => [],
  () => [null],
  () => [[]],
  () => [{}],
  () => [null, {}, ''],
  () => ({ a: null }),
  () => ({ constructor: 'a', toString: null }),
  () => JSON.parse('{"__proto__": null, "x": {"__proto__": 1}}'),
  () => Array.from({ length: 300 }, () => ({})),
];

/** Values that are valid in some field, so that more objects are accepted. */
const WORDS = [
  ...[
    'web',
    'a',
    'default',
    'node1',
    'TCP',
    'UDP',
    'SCTP',
    'ClusterIP',
    'NodePort',
    'LoadBalancer',
  ],
  ...[
    'ExternalName',
    'Local',
    'Cluster',
    'ClientIP',
    'Always',
    'Never',
    'OnFailure',
    'IPv4',
    'IPv6',
  ],
  ...['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt', 'NoSchedule', 'NoExecute', 'Equal'],
  ...['InternalIP', 'ExternalIP', 'Ready', 'True', 'False', 'Ingress', 'Egress', 'Recreate', '5'],
  ...['PreferDualStack', 'kubernetes.io/hostname', 'ScheduleAnyway', 'Running', 'metadata.name'],
];

const GENERIC = /^(?:Array<(.+)>|\{ \[key: string\]: (.+); \})$/;

/** Changes one to four fields of an object in place. */
export function disturb(kind: string, object: Any, choices: Choices): void {
  for (let i = choices.below(4); i >= 0; i--) {
    descend(modelOfKind(kind as KubeKind), object, choices, 0);
  }
}

function descend(model: string, object: Any, choices: Choices, depth: number): void {
  const attributes = attributesOfModel(model)?.filter(
    ({ baseName }) => depth > 0 || !['apiVersion', 'kind'].includes(baseName),
  );
  if (!attributes || attributes.length === 0) return;
  // `spec` has the most fields.
  const spec = attributes.find(({ baseName }) => baseName === 'spec');
  const attribute = spec && choices.below(3) > 0 ? spec : choices.of(attributes);
  if (choices.below(40) === 0) object[choices.of(['unknown', 'constructor', '$patch'])] = 1;
  place(attribute, object, choices, depth);
}

function place(
  { baseName, type, format }: Attribute,
  object: Any,
  choices: Choices,
  depth: number,
) {
  const generic = GENERIC.exec(type);
  const item = generic?.[1] ?? generic?.[2] ?? type;
  if (depth < 8 && attributesOfModel(item) && choices.below(8) > 0) {
    if (generic?.[1]) {
      if (!Array.isArray(object[baseName])) object[baseName] = [];
      const list: Any[] = object[baseName];
      const at = choices.below(list.length + 1);
      if (!isFields(list[at])) list[at] = {};
      return descend(item, list[at], choices, depth + 1);
    }
    if (!isFields(object[baseName])) object[baseName] = {};
    return descend(item, object[baseName], choices, depth + 1);
  }
  if (choices.below(2) === 0) object[baseName] = choices.of(HOSTILE)();
  else object[baseName] = plausible(type, format, choices);
}

function plausible(type: string, format: string, choices: Choices): unknown {
  const generic = GENERIC.exec(type);
  if (generic?.[1]) return [plausible(generic[1], format, choices)];
  if (generic?.[2]) return { [choices.of(WORDS)]: plausible(generic[2], format, choices) };
  if (type === 'number') return choices.of([0, 1, 2, 80, 30_080, 8080, 65_535]);
  if (type === 'boolean') return choices.below(2) === 0;
  if (type === 'IntOrString') return choices.of([80, 'http', '25%']);
  return choices.of(WORDS);
}

function isFields(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const labels = { app: 'web' };
const template = {
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'pause' }] },
};
const workload = { selector: { matchLabels: labels }, template };

/** An accepted object of every kind, to be disturbed. */
const BASES: Record<string, object> = {
  Service: { spec: { selector: labels, ports: [{ port: 80 }] } },
  Pod: { ...template, spec: { ...template.spec, nodeName: 'node1' } },
  Deployment: { spec: workload },
  ReplicaSet: { spec: workload },
  EndpointSlice: {
    metadata: { labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.244.1.2'], conditions: { ready: true } }],
    ports: [{ port: 8080 }],
  },
  Endpoints: { subsets: [{ addresses: [{ ip: '10.244.1.2' }], ports: [{ port: 80 }] }] },
  NetworkPolicy: {
    spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 80 }] }] },
  },
  Ingress: { spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } } } },
  IngressClass: { spec: { controller: 'example.com/c' } },
  Event: { involvedObject: { kind: 'Pod', name: 'a', namespace: 'default' } },
  Lease: { spec: { holderIdentity: 'node1', leaseDurationSeconds: 40 } },
  Node: { status: { addresses: [{ type: 'InternalIP', address: '172.18.0.12' }] } },
};

/** An accepted object of a kind. */
export function baseOf(kind: string, name: string): Any {
  const base = structuredClone(BASES[kind] ?? {}) as Any;
  return { ...base, metadata: { ...base.metadata, name } };
}

/** Paths of the nulls in a value. */
export function nullsOf(value: unknown, path = ''): string[] {
  if (value === null || value === undefined) return [path];
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, item]) => nullsOf(item, `${path}.${key}`));
}
