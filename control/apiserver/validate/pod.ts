// Rules of Pods across fields: pkg/apis/core/validation (ValidatePod), as far as the lab runs them.
import { DNS_LABEL_HINT, isDnsLabel, isPortName } from '../names.ts';
import { isEqual, type KubeObject } from '../object.ts';
import { duplicate, type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';
import { isPort, PORT_HINT } from './service.ts';

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validatePod(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const errors: FieldError[] = [];
  if (!spec.containers?.length) errors.push(required('spec.containers'));
  if (!RESTART_POLICIES.includes(spec.restartPolicy)) {
    errors.push(notSupported('spec.restartPolicy', spec.restartPolicy, RESTART_POLICIES));
  }
  if (!DNS_POLICIES.includes(spec.dnsPolicy)) {
    errors.push(notSupported('spec.dnsPolicy', spec.dnsPolicy, DNS_POLICIES));
  }
  if (spec.terminationGracePeriodSeconds < 0) {
    const value = spec.terminationGracePeriodSeconds;
    errors.push(
      wrong('spec.terminationGracePeriodSeconds', value, 'must be greater than or equal to 0'),
    );
  }
  const names = new Set<string>();
  for (const list of ['initContainers', 'containers']) {
    for (const [i, container] of (spec[list] ?? []).entries()) {
      errors.push(...validateContainer(`spec.${list}[${i}]`, container, names));
    }
  }
  if (old) errors.push(...validateUpdate(spec, old.spec));
  return errors;
}

function validateContainer(at: string, container: any, names: Set<string>): FieldError[] {
  const errors: FieldError[] = [];
  const { name } = container;
  if (!name) errors.push(required(`${at}.name`));
  else if (!isDnsLabel(name)) errors.push(wrong(`${at}.name`, name, DNS_LABEL_HINT));
  else if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
  names.add(name);
  if (!container.image) errors.push(required(`${at}.image`));
  const portNames = new Set<string>();
  for (const [i, port] of (container.ports ?? []).entries()) {
    const field = `${at}.ports[${i}]`;
    if (!isPort(port.containerPort)) {
      errors.push(wrong(`${field}.containerPort`, port.containerPort, PORT_HINT));
    }
    if (port.name && !isPortName(port.name)) {
      errors.push(wrong(`${field}.name`, port.name, 'must be a valid port name'));
    }
    if (port.name && portNames.has(port.name)) {
      errors.push(duplicate(`${field}.name`, port.name));
    }
    portNames.add(port.name);
  }
  for (const [i, variable] of (container.env ?? []).entries()) {
    if (!variable.name) errors.push(required(`${at}.env[${i}].name`));
  }
  return errors;
}

/** Of a pod that is there little may change: images, and its place once. */
function validateUpdate(spec: any, old: any): FieldError[] {
  const still = (s: any) => ({
    ...s,
    nodeName: undefined,
    // Says the same as serviceAccountName, and was not there before.
    serviceAccount: undefined,
    tolerations: undefined,
    activeDeadlineSeconds: undefined,
    terminationGracePeriodSeconds: undefined,
    containers: s.containers?.map((c: any) => ({ ...c, image: '', imagePullPolicy: '' })),
    initContainers: s.initContainers?.map((c: any) => ({ ...c, image: '', imagePullPolicy: '' })),
  });
  const moved = old.nodeName && spec.nodeName !== old.nodeName;
  if (!moved && isEqual(still(spec), still(old))) return [];
  const detail =
    'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';
  return [forbidden('spec', detail)];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
