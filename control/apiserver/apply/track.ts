// The managers of an object that is about to be written.
import { isEqual, type KubeObject, timestamp } from '../../kube/object.ts';
import { invalid, type ResourceName } from '../status.ts';
import { isReset, type ManagedFields, managersOf, parseManagers } from './managers.ts';
import { recordUpdate } from './ownership.ts';

/** Who writes, for what is recorded of it. */
export interface Tracking {
  /** As the client names itself; undefined for controllers of this process. */
  manager?: string;
  /** What an apply has found: then there is nothing more to find out. */
  managers?: ManagedFields[];
  /** By which path, where that is neither the object's own nor that of its status. */
  subresource?: 'scale';
}

/**
 * The controllers' name, on objects whose managers are known. Nothing is recorded of what they
 * create themselves.
 */
const CONTROLLERS = 'kube-controller-manager';

/**
 * Sets metadata.managedFields of an object that nobody else has seen. Throws StatusError Invalid
 * for managers that a client made up.
 *
 * @param old what is stored; undefined if it is being created.
 * @param subresource by which path it is written.
 */
export function trackManagers(
  kind: ResourceName & { apiVersion: string },
  old: KubeObject | undefined,
  object: KubeObject,
  subresource: '' | 'status',
  { manager, managers, subresource: other }: Tracking,
): void {
  const { metadata } = object;
  const stored = managersOf(old);
  const next = managers
    ? keepTimes(managers, object, old)
    : recordUpdate(
        subresource === '' ? givenManagers(kind, object, stored) : stored,
        // Of an object that a controller creates nothing is known, as of one that is already there.
        manager === undefined ? (old ?? object) : old,
        object,
        {
          manager: manager ?? CONTROLLERS,
          operation: 'Update',
          apiVersion: kind.apiVersion,
          subresource: other ?? subresource,
        },
        timestamp(),
      );
  if (next.length > 0) metadata.managedFields = next;
  else delete metadata.managedFields;
}

/** What a client sent as managers, or what is stored where it sent none. */
function givenManagers(
  kind: ResourceName,
  { metadata }: KubeObject,
  stored: ManagedFields[],
): ManagedFields[] {
  const given = metadata.managedFields;
  if (isEqual(given, stored)) return stored;
  if (isReset(given)) return [];
  const { managers, errors } = parseManagers(given);
  if (errors.length > 0) throw invalid(kind, metadata.name, errors);
  return managers.length > 0 ? managers : stored;
}

/**
 * An apply after which nothing is other than before, but for what the server makes of it, has not
 * happened.
 */
function keepTimes(
  managers: ManagedFields[],
  object: KubeObject,
  old: KubeObject | undefined,
): ManagedFields[] {
  const stored = managersOf(old);
  const isSame = isEqual(timeless(managers), timeless(stored)) && isEqual(bare(object), bare(old));
  return isSame ? stored : managers;
}

function timeless(managers: ManagedFields[]): object[] {
  return managers.map(({ time: _time, ...entry }) => entry);
}

function bare(object: KubeObject | undefined): object | undefined {
  return object && { ...object, metadata: { ...object.metadata, managedFields: [] } };
}
