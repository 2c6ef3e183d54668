// metadata.managedFields, as apimachinery/pkg/util/managedfields keeps it.
import { isObject, type KubeObject } from '../../kube/object.ts';
import { type FieldError, required, wrong } from '../status.ts';
import { type FieldSet, isEmpty, NOTHING, parseFieldSet, union } from './field-set.ts';

/**
 * The fields of one manager. A manager has one entry for applies, and one for updates of each
 * subresource.
 */
export interface ManagedFields {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  time?: string;
  fieldsType: 'FieldsV1';
  fieldsV1: FieldSet;
  subresource?: string;
}

/** Who writes, and how. */
export type Writer = Pick<ManagedFields, 'manager' | 'operation' | 'apiVersion' | 'subresource'>;

/** Further entries of updates are merged, the oldest first. */
const UPDATERS_MAX = 10;
const OLD_UPDATES = 'ancient-changes';
export const MANAGER_LENGTH_MAX = 128;

/** The managers of a stored object. Callers must not change them. */
export function managersOf(object: KubeObject | undefined): ManagedFields[] {
  return (object?.metadata.managedFields as ManagedFields[] | undefined) ?? [];
}

/** Parses and checks managedFields from a client. */
export function parseManagers(given: unknown): { managers: ManagedFields[]; errors: FieldError[] } {
  const errors: FieldError[] = [];
  const managers: ManagedFields[] = [];
  for (const [i, entry] of (Array.isArray(given) ? given : []).entries()) {
    const at = `metadata.managedFields[${i}]`;
    const found = checkEntry(entry, at);
    errors.push(...found);
    if (found.length > 0) continue;
    managers.push({ ...entry, fieldsV1: parseFieldSet(entry.fieldsV1 ?? {}) ?? NOTHING });
  }
  return { managers: managers.filter((m) => !isEmpty(m.fieldsV1)), errors };
}

function checkEntry(entry: unknown, at: string): FieldError[] {
  if (!isObject(entry)) return [wrong(at, entry, 'must be an object')];
  const { operation, fieldsType, fieldsV1, manager = '' } = entry;
  const errors: FieldError[] = [];
  if (operation !== 'Apply' && operation !== 'Update') {
    errors.push(wrong(`${at}.operation`, operation ?? '', 'must be `Apply` or `Update`'));
  }
  if (fieldsType !== 'FieldsV1') {
    errors.push(wrong(`${at}.fieldsType`, fieldsType ?? '', 'must be `FieldsV1`'));
  }
  if (fieldsV1 !== undefined && parseFieldSet(fieldsV1) === null) {
    errors.push(wrong(`${at}.fieldsV1`, fieldsV1, 'must be a set of fields'));
  }
  return [...errors, ...checkManager(manager, `${at}.manager`)];
}

/** Checks the name of a manager. */
export function checkManager(manager: unknown, field: string, isRequired = false): FieldError[] {
  if (typeof manager !== 'string') return [wrong(field, manager, 'must be a string')];
  if (manager === '' && isRequired) return [required(field, 'is required for apply patch')];
  if (manager.length > MANAGER_LENGTH_MAX) {
    return [wrong(field, manager, `may not be more than ${MANAGER_LENGTH_MAX} bytes`)];
  }
  return isPrintable(manager)
    ? []
    : [wrong(field, manager, 'should only contain printable characters')];
}

/** The default manager name: the client's program. */
export function managerOfAgent(userAgent: string): string {
  const program = [...userAgent.split('/')[0]!].filter(isPrintable).join('');
  return program.slice(0, MANAGER_LENGTH_MAX) || 'unknown';
}

function isPrintable(text: string): boolean {
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(text);
}

/**
 * True if the entry holds the fields of this writer. An entry of applies is the same for all API
 * versions.
 */
export function isEntryOf(entry: ManagedFields, writer: Writer): boolean {
  return (
    entry.manager === writer.manager &&
    entry.operation === writer.operation &&
    (entry.subresource ?? '') === (writer.subresource ?? '') &&
    (entry.operation === 'Apply' || entry.apiVersion === writer.apiVersion)
  );
}

/** An entry with these fields. */
export function entryOf(writer: Writer, fieldsV1: FieldSet, time?: string): ManagedFields {
  const { manager, operation, apiVersion, subresource } = writer;
  return {
    manager,
    operation,
    apiVersion,
    ...(time !== undefined && { time }),
    fieldsType: 'FieldsV1',
    fieldsV1,
    ...(subresource && { subresource }),
  };
}

/** Entries in stored form: without empty ones, limited, in upstream's order. */
export function settle(managers: ManagedFields[]): ManagedFields[] {
  const kept = managers.filter((entry) => !isEmpty(entry.fieldsV1)).sort(byOrder);
  const updaters = kept.filter((entry) => entry.operation === 'Update');
  const excess = updaters.length - UPDATERS_MAX;
  if (excess <= 0) return kept;
  // The merged entry replaces its parts. One of them may be an earlier merged entry.
  const old = updaters.slice(0, excess + 1);
  const bucket = old.reduce((a, b) => ({ ...b, fieldsV1: union(a.fieldsV1, b.fieldsV1) }));
  const writer: Writer = {
    manager: OLD_UPDATES,
    operation: 'Update',
    apiVersion: bucket.apiVersion,
  };
  const rest = kept.filter((entry) => !old.includes(entry));
  return [...rest, entryOf(writer, bucket.fieldsV1, bucket.time)].sort(byOrder);
}

function byOrder(a: ManagedFields, b: ManagedFields): number {
  return (
    compareTexts(a.operation, b.operation) ||
    compareTexts(a.time ?? '', b.time ?? '') ||
    compareTexts(a.manager, b.manager) ||
    compareTexts(a.subresource ?? '', b.subresource ?? '')
  );
}

function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
