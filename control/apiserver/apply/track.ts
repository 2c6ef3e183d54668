// Sets the managers of an object before a write.
import { isEqual, type KubeObject, timestamp } from '../../kube/object.ts';
import { invalid, type ResourceName } from '../status.ts';
import { type ManagedFields, managersOf, parseManagers } from './managers.ts';
import { recordUpdate } from './ownership.ts';

/** The writer, for the record of managers. */
export interface Tracking {
  /** The client's name. Undefined for controllers of this process. */
  manager?: string;
  /** The managers that an apply has computed already. */
  managers?: ManagedFields[];
  /** The path of the write, if it is not the object's or the status's. */
  subresource?: 'scale';
}

/** The manager name of controllers. Objects that they create have no record of managers. */
const CONTROLLERS = 'kube-controller-manager';

/**
 * Sets metadata.managedFields of an object, in place. Throws StatusError Invalid for invalid
 * managers from a client.
 *
 * @param old the stored object, undefined for a create.
 * @param subresource the path of the write.
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
        // An object that a controller creates starts without managers.
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

/** The managers that a client sent, or the stored ones if it sent none. */
function givenManagers(
  kind: ResourceName,
  { metadata }: KubeObject,
  stored: ManagedFields[],
): ManagedFields[] {
  const given = metadata.managedFields;
  if (isEqual(given, stored)) return stored;
  // With this a client removes all managers.
  if (isEqual(given, [{}])) return [];
  const { managers, errors } = parseManagers(given);
  if (errors.length > 0) throw invalid(kind, metadata.name, errors);
  return managers.length > 0 ? managers : stored;
}

/** An apply that changes nothing keeps the times of its managers. */
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
