// Checks the body of an apply request.
import {
  isEqual,
  isObject,
  type KubeObject,
  type ObjectMeta,
  timestamp,
} from '../../kube/object.ts';
import { badRequest, conflict, type ResourceName, StatusError } from '../status.ts';
import { decodeFields } from '../validate/fields.ts';
import { type Applied, applyConfig } from './apply.ts';
import { itemsBy } from './fields.ts';
import { elementsOf, type Schema, schemaBelow, schemaOf } from './schema.ts';

export const APPLY_PATCH = 'application/apply-patch+yaml';

/** The object of an apply, and its path. */
export interface Target {
  kind: ResourceName & { apiVersion: string; version: string; hasStatus: boolean };
  /** '' for cluster-scoped kinds. */
  namespace: string;
  name: string;
  /** The request uses the path of the status. It applies to the status only. */
  status: boolean;
}

export interface ApplyOptions {
  manager: string;
  /** Take over fields of other managers. */
  force: boolean;
}

/** Applies the body of a request to an object. Throws StatusError. */
export function applyBody(
  live: KubeObject | null,
  body: unknown,
  target: Target,
  { manager, force }: ApplyOptions,
): Applied {
  const config = readConfig(body, target, live);
  const { apiVersion } = target.kind;
  const subresource = target.status ? 'status' : '';
  const writer = { manager, operation: 'Apply' as const, apiVersion, subresource };
  return applyConfig(live, config, writer, force, timestamp());
}

/** The configuration in a body, with the name from the path. Throws StatusError. */
function readConfig(body: unknown, target: Target, live: KubeObject | null): KubeObject {
  const { kind, namespace, name, status } = target;
  if (!isObject(body)) throw badRequest('the body of an apply must be an object');
  for (const field of ['apiVersion', 'kind'] as const) {
    if (body[field] === kind[field]) continue;
    throw badRequest(
      `${field} of the applied object must be ${kind[field]}, not ` +
        `${JSON.stringify(body[field] ?? '')}`,
    );
  }
  const given = (body.metadata ?? {}) as ObjectMeta;
  if (given.managedFields !== undefined && !isEqual(given.managedFields, [])) {
    throw badRequest('metadata.managedFields must be nil');
  }
  // Checks types first, on a copy: decoding removes nulls, and here a null removes a field.
  decodeFields(kind, structuredClone({ ...body, metadata: given }), { strict: false });
  checkPlace(given, target);
  checkIncarnation(given, target, live);
  checkFields(body, target);
  const metadata = { ...given, name, ...(namespace && { namespace }) };
  const { uid, resourceVersion } = given;
  if (status) {
    const own = { name, ...(namespace && { namespace }), ...(uid && { uid }) };
    const bare = { ...own, ...(resourceVersion && { resourceVersion }) };
    const { apiVersion, kind: kindName } = kind;
    return { apiVersion, kind: kindName, metadata: bare, status: body.status ?? {} };
  }
  const { status: _status, ...rest } = body;
  const config = kind.hasStatus ? rest : body;
  return structuredClone({ ...config, metadata }) as KubeObject;
}

function checkPlace(given: ObjectMeta, { namespace, name }: Target): void {
  if (given.name !== undefined && given.name !== name) {
    throw badRequest(
      `the name of the object (${given.name}) does not match the name on the URL (${name})`,
    );
  }
  if (given.namespace !== undefined && namespace !== '' && given.namespace !== namespace) {
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
}

/** A uid or a resourceVersion needs an existing object. */
function checkIncarnation(given: ObjectMeta, target: Target, live: KubeObject | null): void {
  if (live !== null) return;
  const { kind, name } = target;
  for (const field of ['uid', 'resourceVersion'] as const) {
    if (!given[field]) continue;
    const what = `the provided object specified ${field} ${given[field]}`;
    const why = `${what}, and no existing object was found`;
    throw conflict(kind, name, field === 'uid' ? `uid mismatch: ${why}` : why);
  }
}

/** Refuses fields outside the schema and items with equal keys: neither can have an owner. */
function checkFields(body: Record<string, unknown>, { kind, namespace, name }: Target): void {
  const found = [...faults(body, schemaOf(kind.kind), '')];
  if (found.length === 0) return;
  const text = found.length === 1 ? found[0] : `errors:\n  ${found.join('\n  ')}`;
  const [group, version] = kind.group ? kind.apiVersion.split('/') : ['', kind.apiVersion];
  const object = `${namespace}/${name}; ${group}/${version}, Kind=${kind.kind}`;
  throw new StatusError(
    400,
    'BadRequest',
    `failed to create typed patch object (${object}): ${text}`,
  );
}

function* faults(value: unknown, schema: Schema, path: string): Generator<string> {
  if (schema.shape === 'list' || schema.shape === 'set') {
    if (Array.isArray(value)) yield* faultsOfItems(value, schema, path);
    return;
  }
  if (!isObject(value)) return;
  for (const [key, item] of Object.entries(value)) {
    if (schema.shape === 'struct' && !schema.has(key)) {
      yield `${path}.${key}: field not declared in schema`;
    } else yield* faults(item, schemaBelow(schema, `f:${key}`), `${path}.${key}`);
  }
}

function* faultsOfItems(list: unknown[], schema: Schema, path: string): Generator<string> {
  const found = elementsOf(schema, list);
  if (!found) {
    const keys = schema.shape === 'list' ? schema.keys.join(', ') : '';
    yield `${path}: associative list with keys has an element that omits key field: ${keys}`;
    return;
  }
  for (const [element, same] of itemsBy(found, list)) {
    if (same.length > 1) yield `${path}: duplicate entries for key ${element.slice(2)}`;
    for (const item of same)
      yield* faults(item, schemaBelow(schema, element), `${path}[${element.slice(2)}]`);
  }
}
