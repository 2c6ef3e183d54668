// Cells with more than a field's value, in upstream's words.
import { conditionOf, isObject, type KubeObject } from '../../kube/object.ts';
import { isDefaultClass } from '../../model/storage.ts';

const NONE = '<none>';
const LIST_SHOWN_MAX = 3;
const ROLE_PREFIX = 'node-role.kubernetes.io/';

type Fields = Record<string, unknown>;

export function field(object: unknown, name: string): string {
  return isObject(object) ? String(object[name] ?? '') : '';
}

/** The number of entries of a map or a list, 0 if absent. */
export function size(value: unknown): number {
  return Array.isArray(value) ? value.length : isObject(value) ? Object.keys(value).length : 0;
}

export function nodeStatus(node: KubeObject): string {
  const ready = conditionOf(node, 'Ready');
  const state = ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown';
  return node.spec?.unschedulable ? `${state},SchedulingDisabled` : state;
}

export function nodeRoles({ metadata }: KubeObject): string {
  const { labels = {} } = metadata;
  const roles = Object.keys(labels)
    .filter((key) => key.startsWith(ROLE_PREFIX) && key.length > ROLE_PREFIX.length)
    .map((key) => key.slice(ROLE_PREFIX.length));
  const older = labels['kubernetes.io/role'];
  return [...new Set([...roles, ...(older ? [older] : [])])].sort().join(',') || NONE;
}

export function nodeAddress({ status }: KubeObject, wanted: string): string {
  const found = list(status?.addresses).find(({ type }) => type === wanted);
  return field(found ?? { address: NONE }, 'address');
}

/** `1/2`: true gates of all gates. */
export function readinessGates(pod: KubeObject): string {
  const gates = list(pod.spec?.readinessGates).map((gate) => String(gate.conditionType));
  if (gates.length === 0) return NONE;
  const open = gates.filter((gate) => conditionOf(pod, gate)?.status === 'True');
  return `${open.length}/${gates.length}`;
}

export function serviceExternal(service: KubeObject): string {
  const { type, externalIPs = [], externalName } = service.spec ?? {};
  if (type === 'ExternalName') return externalName;
  const balancer = type === 'LoadBalancer' ? loadBalancer(service).split(',').filter(Boolean) : [];
  const all = [...balancer, ...externalIPs];
  return all.join(',') || (type === 'LoadBalancer' ? '<pending>' : NONE);
}

/** `80:30086/TCP,53/UDP`. */
export function servicePorts({ spec }: KubeObject): string {
  const ports = list(spec?.ports).map(({ port, nodePort, protocol }) =>
    nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
  );
  return ports.join(',') || NONE;
}

/** Addresses of a load balancer or an Ingress. */
export function loadBalancer({ status }: KubeObject): string {
  return list(status?.loadBalancer?.ingress)
    .map(({ ip, hostname }) => ip ?? hostname ?? '')
    .filter(Boolean)
    .join(',');
}

export function slicePorts({ ports }: KubeObject): string {
  const shown = list(ports).map(({ name, port }) => String(port ?? (name || '*')));
  return shorten(shown, '<unset>');
}

export function sliceEndpoints({ endpoints }: KubeObject): string {
  return shorten(
    list(endpoints).flatMap(({ addresses }) => (addresses as string[] | undefined) ?? []),
    '<unset>',
  );
}

export function endpointsOfSubsets({ subsets }: KubeObject): string {
  const all = list(subsets).flatMap(({ addresses, ports }) =>
    list(addresses).flatMap(({ ip }) => {
      const numbers = list(ports).map(({ port }) => `${ip}:${port}`);
      return numbers.length > 0 ? numbers : [String(ip)];
    }),
  );
  return shorten(all, NONE);
}

/** `pod/web-1`. */
export function eventObject({ involvedObject }: KubeObject): string {
  const name = field(involvedObject, 'name');
  const kind = field(involvedObject, 'kind').toLowerCase();
  return name === '' ? kind : `${kind}/${name}`;
}

export function eventSource({ source, reportingComponent, reportingInstance }: KubeObject): string {
  const component = field(source, 'component') || String(reportingComponent ?? '');
  const host = field(source, 'host') || String(reportingInstance ?? '');
  return [component, host].filter(Boolean).join(', ');
}

export function templateContainers({ spec }: KubeObject, name: 'name' | 'image'): string {
  return list(spec?.template?.spec?.containers)
    .map((container) => container[name])
    .join(',');
}

export function ingressHosts({ spec }: KubeObject): string {
  const hosts = list(spec?.rules)
    .map(({ host }) => String(host ?? ''))
    .filter(Boolean);
  return shorten(hosts, '*');
}

export function ingressParameters({ spec }: KubeObject): string {
  const { apiGroup, kind, name } = spec?.parameters ?? {};
  if (!kind) return NONE;
  return `${kind}${apiGroup ? `.${apiGroup}` : ''}/${name}`;
}

/** `a,b,c + 4 more...`. */
function shorten(items: string[], empty: string): string {
  if (items.length === 0) return empty;
  const shown = items.slice(0, LIST_SHOWN_MAX).join(',');
  const rest = items.length - LIST_SHOWN_MAX;
  return rest > 0 ? `${shown} + ${rest} more...` : shown;
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? (value as Fields[]) : [];
}

const UNITS_S = { d: 86_400, h: 3600, m: 60, s: 1 };

/**
 * A duration in at most two units, coarser for longer times: apimachinery duration.HumanDuration.
 */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds <= 0) return '0s';
  const { d, h, m } = UNITS_S;
  if (seconds < 2 * m) return `${seconds}s`;
  if (seconds < 10 * m) return pair(seconds, 'm', 's');
  if (seconds < 3 * h) return `${Math.floor(seconds / m)}m`;
  if (seconds < 8 * h) return pair(seconds, 'h', 'm');
  if (seconds < 2 * d) return `${Math.floor(seconds / h)}h`;
  if (seconds < 8 * d) return pair(seconds, 'd', 'h');
  const days = Math.floor(seconds / d);
  if (days < 2 * 365) return `${days}d`;
  const years = Math.floor(days / 365);
  const rest = days % 365;
  return years < 8 && rest > 0 ? `${years}y${rest}d` : `${years}y`;
}

function pair(seconds: number, large: keyof typeof UNITS_S, small: keyof typeof UNITS_S): string {
  const whole = Math.floor(seconds / UNITS_S[large]);
  const rest = Math.floor((seconds % UNITS_S[large]) / UNITS_S[small]);
  return rest === 0 ? `${whole}${large}` : `${whole}${large}${rest}${small}`;
}

/** Time since a timestamp of the API. */
export function formatAge(timestamp: unknown): string {
  if (typeof timestamp !== 'string') return '<unknown>';
  return formatDuration(Date.now() - Date.parse(timestamp));
}

// Jobs and revisions.

/** Kind and name of the controlling owner: `statefulset.apps/web`. */
export function ownerName({ metadata }: KubeObject): string {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (!owner) return NONE;
  const [group] = owner.apiVersion.split('/');
  return `${owner.kind.toLowerCase()}.${group}/${owner.name}`;
}

export function jobStatus({ metadata, status }: KubeObject): string {
  const isTrue = (type: string) =>
    list(status?.conditions).some((c) => c.type === type && c.status === 'True');
  if (isTrue('Complete')) return 'Complete';
  if (isTrue('Failed')) return 'Failed';
  if (metadata.deletionTimestamp) return 'Terminating';
  if (isTrue('Suspended')) return 'Suspended';
  if (isTrue('FailureTarget')) return 'FailureTarget';
  return isTrue('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

/** `2/3`, or `0/1 of 4` for a Job that ends with the first success. */
export function jobCompletions({ spec, status }: KubeObject): string {
  const done = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${done}/${spec.completions}`;
  const parallelism: number = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`;
}

export function jobDuration({ status }: KubeObject): string {
  const { startTime, completionTime } = status ?? {};
  if (!startTime) return '';
  return formatDuration(
    (completionTime ? Date.parse(completionTime) : Date.now()) - Date.parse(startTime),
  );
}

// Storage.

const MODES: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

export function accessModes(modes: string[] | undefined): string {
  return Object.entries(MODES)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(',');
}

/** Of a claim or a volume. */
export function storagePhase({ metadata, status }: KubeObject): string {
  return metadata.deletionTimestamp ? 'Terminating' : (status?.phase ?? '');
}

export function attributesClass({ spec }: KubeObject): string {
  return spec?.volumeAttributesClassName ?? '<unset>';
}

export function claimOf({ spec }: KubeObject): string {
  const claim = spec?.claimRef;
  return claim ? `${claim.namespace}/${claim.name}` : '';
}

export function className(object: KubeObject): string {
  return isDefaultClass(object) ? `${object.metadata.name} (default)` : object.metadata.name;
}
