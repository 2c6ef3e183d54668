// Patches. A strategic merge patch merges lists that are sets, or maps by a key:
// apimachinery/pkg/util/strategicpatch. The keys are the patchMergeKey tags of the k8s.io/api
// types.
import { isEqual, isObject, own, setOwn } from '../../kube/object.ts';
import { badRequest } from '../status.ts';
import { jsonPatch } from './json-patch.ts';

type Fields = Record<string, unknown>;

const CONTAINERS = ['containers', 'initContainers', 'ephemeralContainers'];

/** Field -> key of its list items, '' for sets of plain values. All other lists are atomic. */
const MERGE_KEYS: Record<string, string> = {
  ...Object.fromEntries(CONTAINERS.map((field) => [field, 'name'])),
  addresses: 'type',
  conditions: 'type',
  env: 'name',
  finalizers: '',
  hostAliases: 'ip',
  hostIPs: 'ip',
  imagePullSecrets: 'name',
  ownerReferences: 'uid',
  podCIDRs: '',
  podIPs: 'ip',
  resourceClaims: 'name',
  schedulingGates: 'name',
  secrets: 'name',
  topologySpreadConstraints: 'topologyKey',
  volumeDevices: 'devicePath',
  volumeMounts: 'mountPath',
  volumes: 'name',
};

/** `ports` is the only field name with two different keys. */
function mergeKeyOf(field: string, parent: string): string | undefined {
  if (field !== 'ports') return Object.hasOwn(MERGE_KEYS, field) ? MERGE_KEYS[field] : undefined;
  return CONTAINERS.includes(parent) ? 'containerPort' : 'port';
}

/** The object after the patch. Changes neither argument. Throws StatusError BadRequest. */
export function strategicPatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) throw badRequest('a strategic merge patch must be a JSON object');
  return mergeFields(isObject(target) ? target : {}, patch, '');
}

/** @param parent the field of `target`, or the list with `target` as an item. */
function mergeFields(target: Fields, patch: Fields, parent: string): Fields {
  const { $patch: directive, $retainKeys: retained, ...changes } = patch;
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'replace' && directive !== 'merge') {
    throw badRequest(`invalid value for $patch: ${JSON.stringify(directive)}`);
  }
  const merged: Fields = directive === 'replace' ? {} : { ...target };
  if (Array.isArray(retained)) {
    for (const key of Object.keys(merged)) if (!retained.includes(key)) delete merged[key];
  }
  for (const [key, value] of Object.entries(changes)) {
    if (key.startsWith('$')) continue;
    if (value === null) delete merged[key];
    else setOwn(merged, key, mergeValue(own(merged, key), value, key, parent));
  }
  removeFromSets(merged, changes);
  for (const [key, order] of directives(changes, '$setElementOrder/')) {
    const list = merged[key];
    if (!Array.isArray(list)) continue;
    const present = Array.isArray(target[key]) ? target[key] : [];
    merged[key] = sortAs(list, order, present, mergeKeyOf(key, parent));
  }
  return merged;
}

function mergeValue(target: unknown, patch: unknown, field: string, parent: string): unknown {
  if (isObject(patch)) return mergeFields(isObject(target) ? target : {}, patch, field);
  const key = mergeKeyOf(field, parent);
  if (!Array.isArray(patch) || key === undefined) return patch;
  const present = Array.isArray(target) ? target : [];
  if (key !== '') return mergeItems(present, patch, field, key);
  return [...present, ...patch.filter((value) => !present.includes(value))];
}

function mergeItems(target: unknown[], patch: unknown[], field: string, key: string): unknown[] {
  const items = patch.map((item) => (isObject(item) ? item : {}));
  const replaces = items.some((item) => item.$patch === 'replace' && !Object.hasOwn(item, key));
  const merged: unknown[] = replaces ? [] : [...target];
  for (const item of items) {
    if (item.$patch === 'replace' && !Object.hasOwn(item, key)) continue;
    if (item[key] === undefined) {
      throw badRequest(
        `${field}: ${JSON.stringify(item)} does not contain declared merge key: ${key}`,
      );
    }
    const at = merged.findIndex((other) => isObject(other) && isEqual(other[key], item[key]));
    if (item.$patch === 'delete') {
      if (at >= 0) merged.splice(at, 1);
    } else if (at >= 0) {
      merged[at] = mergeFields(merged[at] as Fields, item, field);
    } else merged.push(mergeFields({}, item, field));
  }
  return merged;
}

function removeFromSets(merged: Fields, changes: Fields): void {
  for (const [key, removed] of directives(changes, '$deleteFromPrimitiveList/')) {
    const list = merged[key];
    if (Array.isArray(list)) merged[key] = list.filter((value) => !removed.includes(value));
  }
}

function* directives(changes: Fields, prefix: string): Generator<[string, unknown[]]> {
  for (const [key, value] of Object.entries(changes)) {
    if (key.startsWith(prefix) && Array.isArray(value)) yield [key.slice(prefix.length), value];
  }
}

/**
 * Sorts items into the order of the client. Other items keep their place among `present`, the list
 * before the patch.
 */
function sortAs(list: unknown[], order: unknown[], present: unknown[], key = ''): unknown[] {
  const identity = (item: unknown) => (isObject(item) ? item[key] : item);
  const asked = order.map(identity);
  const before = present.map(identity);
  const known = list
    .filter((item) => asked.includes(identity(item)))
    .sort((a, b) => asked.indexOf(identity(a)) - asked.indexOf(identity(b)));
  const others = list.filter((item) => !asked.includes(identity(item)));
  const sorted: unknown[] = [];
  while (known.length > 0 && others.length > 0) {
    const first = before.indexOf(identity(known[0])) < before.indexOf(identity(others[0]));
    sorted.push((first ? known : others).shift());
  }
  return [...sorted, ...known, ...others];
}

/** Returns the patched object. Changes neither argument. */
export type Patcher = (target: unknown, patch: unknown) => unknown;

/** Media type -> patcher. Server-side apply is not one of them. */
export const PATCHERS: Record<string, Patcher> = {
  'application/json-patch+json': jsonPatch,
  'application/merge-patch+json': mergePatch,
  'application/strategic-merge-patch+json': strategicPatch,
};

/** JSON merge patch, RFC 7386. Changes neither argument. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else setOwn(merged, key, mergePatch(own(merged, key), value));
  }
  return merged;
}
