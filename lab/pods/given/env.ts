// The environment of a container.
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import { type Given, readField, readResource } from './downward.ts';
import type { SourceRef, Sources } from './sources.ts';

type Variable = NonNullable<Container['env']>[number];
type EnvFrom = NonNullable<Container['envFrom']>[number];

const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const CONFIG_ERROR = 'CreateContainerConfigError';

/** Keeps a container waiting with this reason in its status. The start is tried again. */
export class WaitReason extends Error {
  readonly reason: string;
  /** Delay before the start is tried again. */
  readonly retryMs: number;

  constructor(reason: string, message: string, retryMs = 1000) {
    super(message);
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

/** ConfigMaps and Secrets that a container's environment refers to. */
export function envSources({ env = [], envFrom = [] }: Container): SourceRef[] {
  const refs: SourceRef[] = [];
  for (const { configMapRef, secretRef } of envFrom) {
    if (configMapRef?.name) refs.push({ kind: 'ConfigMap', name: configMapRef.name });
    if (secretRef?.name) refs.push({ kind: 'Secret', name: secretRef.name });
  }
  for (const { valueFrom } of env) {
    const { configMapKeyRef, secretKeyRef } = valueFrom ?? {};
    if (configMapKeyRef?.name) refs.push({ kind: 'ConfigMap', name: configMapKeyRef.name });
    if (secretKeyRef?.name) refs.push({ kind: 'Secret', name: secretKeyRef.name });
  }
  return refs;
}

/**
 * The environment of a container. `$(NAME)` expands to an earlier variable, `$$` to a dollar sign.
 * The container's own variables override those of `services`. Throws WaitReason if an object that
 * is referred to is missing.
 */
export function buildEnv(
  container: Container,
  pod: Pod,
  given: Given,
  sources: Sources,
  services: Record<string, string>,
): Record<string, string> {
  // No prototype: a variable may be called `__proto__`.
  const own: Record<string, string> = Object.create(null);
  for (const from of container.envFrom ?? []) Object.assign(own, readAll(from, sources));
  const known: Record<string, string> = Object.assign(Object.create(null), services, own);
  for (const variable of container.env ?? []) {
    const value = readVariable(variable, { container, pod, given, sources, known });
    if (value === null) continue;
    own[variable.name] = value;
    known[variable.name] = value;
  }
  const base = { PATH: PATH_DEFAULT, HOME: '/root', HOSTNAME: given.hostname };
  return { ...base, ...services, ...own };
}

/** Expands `$(NAME)`. An unknown name stays as it is, as upstream. */
export function expand(text: string, env: Record<string, string>): string {
  return text.replace(/\$\$|\$\(([\w.-]+)\)/g, (match, name: string | undefined) => {
    if (name === undefined) return '$';
    return Object.hasOwn(env, name) ? env[name]! : match;
  });
}

function readAll(
  { configMapRef, secretRef, prefix = '' }: EnvFrom,
  sources: Sources,
): Record<string, string> {
  const ref = configMapRef ?? secretRef;
  const kind = configMapRef ? 'ConfigMap' : 'Secret';
  const data = sources({ kind, name: ref?.name ?? '' });
  if (!data) {
    if (ref?.optional) return {};
    throw new WaitReason(CONFIG_ERROR, `${kind.toLowerCase()} "${ref?.name}" not found`);
  }
  return Object.fromEntries([...data].map(([key, value]) => [prefix + key, String(value)]));
}

interface Scope {
  container: Container;
  pod: Pod;
  given: Given;
  sources: Sources;
  /** Variables that are known so far. */
  known: Record<string, string>;
}

/** The value of a variable. Null if its source is optional and missing. */
function readVariable({ value = '', valueFrom }: Variable, scope: Scope): string | null {
  if (!valueFrom) return expand(value, scope.known);
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef) return readField(fieldRef.fieldPath, scope.pod, scope.given);
  if (resourceFieldRef) {
    const { containerName, resource, divisor } = resourceFieldRef;
    const { containers = [], initContainers = [] } = scope.pod.spec ?? {};
    const all = [...containers, ...initContainers];
    const named = all.find(({ name }) => name === containerName) ?? scope.container;
    return readResource(named, resource, divisor);
  }
  const ref = configMapKeyRef ?? secretKeyRef;
  return ref ? readKey(configMapKeyRef ? 'ConfigMap' : 'Secret', ref, scope) : '';
}

function readKey(
  kind: SourceRef['kind'],
  { name = '', key, optional = false }: { name?: string; key: string; optional?: boolean },
  { pod, sources }: Scope,
): string | null {
  const data = sources({ kind, name });
  const value = data?.get(key);
  if (value) return String(value);
  if (optional) return null;
  const where = `${kind} ${pod.metadata?.namespace}/${name}`;
  const why = data
    ? `couldn't find key ${key} in ${where}`
    : `${kind.toLowerCase()} "${name}" not found`;
  throw new WaitReason(CONFIG_ERROR, why);
}
