// Rules and defaults of ConfigMaps and Secrets: pkg/apis/core/validation (ValidateConfigMap,
// ValidateSecret), pkg/registry/core/secret.

import { isEqual, isObject, type KubeObject, own, setOwn } from '../../kube/object.ts';
import { type FieldError, forbidden, required, tooLong, wrong } from '../status.ts';
import { faultOfConfigKey } from './formats.ts';

/** Limit for all keys and values together. */
const BYTES_MAX = 1024 * 1024;
const ACCOUNT_ANNOTATION = 'kubernetes.io/service-account.name';

/** Type of a Secret -> the keys that it must have. */
const KEYS_REQUIRED: Record<string, string[]> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

type Texts = Record<string, string>;

/** Moves stringData into data. */
export function defaultSecret(object: KubeObject): void {
  if (isObject(object.stringData)) {
    const data: Texts = { ...(object.data as Texts) };
    for (const [key, text] of Object.entries(object.stringData)) {
      setOwn(data, key, Buffer.from(String(text)).toString('base64'));
    }
    object.data = data;
  }
  delete object.stringData;
  object.type ||= 'Opaque';
}

export function validateConfigMap(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const texts = (object.data ?? {}) as Texts;
  const binary = (object.binaryData ?? {}) as Texts;
  const errors = [...validateKeys('data', texts), ...validateKeys('binaryData', binary)];
  for (const key of Object.keys(texts).filter((k) => Object.hasOwn(binary, k))) {
    errors.push(wrong(`data[${key}]`, key, 'duplicate of key present in binaryData'));
  }
  const bytes = Object.values(texts).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  // The path of the whole object, as upstream prints it.
  if (bytes + bytesOf(binary) > BYTES_MAX) errors.push(tooLong('[]', BYTES_MAX));
  return [...errors, ...validateImmutable(['data', 'binaryData'], object, old)];
}

export function validateSecret(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const data = (object.data ?? {}) as Texts;
  const type = object.type as string;
  const errors = validateKeys('data', data);
  if (bytesOf(data) > BYTES_MAX) errors.push(tooLong('data', BYTES_MAX));
  const missing = (own(KEYS_REQUIRED, type) ?? []).filter((key) => !Object.hasOwn(data, key));
  errors.push(...missing.map((key) => required(`data[${key}]`)));
  if (
    type === 'kubernetes.io/basic-auth' &&
    !Object.hasOwn(data, 'username') &&
    !Object.hasOwn(data, 'password')
  ) {
    errors.push(required('data[username]'), required('data[password]'));
  }
  if (type === 'kubernetes.io/service-account-token') {
    const account = object.metadata.annotations?.[ACCOUNT_ANNOTATION];
    if (!account) errors.push(required(`metadata.annotations[${ACCOUNT_ANNOTATION}]`));
  }
  for (const key of ['.dockercfg', '.dockerconfigjson']) {
    const asked = own(KEYS_REQUIRED, type)?.includes(key) && Object.hasOwn(data, key);
    if (asked && !isJson(data[key]!)) {
      errors.push(wrong(`data[${key}]`, '<secret contents redacted>', 'must be valid JSON'));
    }
  }
  if (old && old.type !== type) errors.push(wrong('type', type, 'field is immutable'));
  return [...errors, ...validateImmutable(['data'], object, old)];
}

function validateKeys(field: string, values: Texts): FieldError[] {
  return Object.keys(values).flatMap((key) => {
    const fault = faultOfConfigKey(key);
    return fault === null ? [] : [wrong(`${field}[${key}]`, key, fault)];
  });
}

/** An immutable object keeps its data and stays immutable. */
function validateImmutable(
  fields: string[],
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  if (!old?.immutable) return [];
  const changed = fields.filter((field) => !isEqual(object[field] ?? {}, old[field] ?? {}));
  const broken = object.immutable ? changed : ['immutable', ...changed];
  return broken.map((field) => forbidden(field, 'field is immutable when `immutable` is set'));
}

function bytesOf(values: Texts): number {
  return Object.values(values).reduce((sum, text) => sum + Buffer.byteLength(text, 'base64'), 0);
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, 'base64').toString());
    return true;
  } catch {
    return false;
  }
}
