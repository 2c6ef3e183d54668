// Rules of containers: pkg/apis/core/validation, as far as the lab runs them.

import { API_PROTOCOLS } from '../../model/parse.ts';
import { duplicate, type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';
import { each, matching, oneOf, optional, PORT, PORT_NAME, unique } from './formats.ts';
import { validateLifecycle, validateProbe } from './probe.ts';

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'];
const ENV_SOURCES = [
  'configMapKeyRef',
  'fieldRef',
  'fileKeyRef',
  'resourceFieldRef',
  'secretKeyRef',
];
const ENV_FIELDS = [
  ...['metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName'],
  ...[
    'spec.serviceAccountName',
    'status.hostIP',
    'status.hostIPs',
    'status.podIP',
    'status.podIPs',
  ],
];
const ENV_KEYED_FIELD = /^metadata\.(labels|annotations)\['.+'\]$/;
const ENV_NAME = /^[ -<>-~]+$/;
const ENV_NAME_HINT =
  'a valid environment variable name must consist only of printable ASCII characters other ' +
  "than '='";

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
/** Init containers and containers of a pod. Their names must all differ. */
export function validateContainers(at: string, spec: any): FieldError[] {
  const names = new Set<string>();
  return ['initContainers', 'containers'].flatMap((list) =>
    each(`${at}.${list}`, spec[list], (field, container: any) => [
      ...validateContainer(field, container, names, spec),
      ...validateRestarts(field, container, list === 'initContainers'),
    ]),
  );
}

function validateContainer(
  at: string,
  container: any,
  names: Set<string>,
  spec: any,
): FieldError[] {
  const { lifecycle } = container;
  const graceS = spec.terminationGracePeriodSeconds;
  return [
    ...unique(`${at}.name`, container.name, names),
    ...(container.image ? [] : [required(`${at}.image`)]),
    ...validatePorts(`${at}.ports`, container.ports ?? [], spec.hostNetwork),
    ...each(`${at}.env`, container.env, validateVariable),
    ...validateMounts(`${at}.volumeMounts`, container.volumeMounts ?? [], spec),
    ...PROBES.filter((probe) => container[probe]).flatMap((probe) =>
      validateProbe(`${at}.${probe}`, probe, container[probe]),
    ),
    ...(lifecycle ? validateLifecycle(`${at}.lifecycle`, lifecycle, graceS) : []),
  ];
}

/**
 * Only sidecars among init containers can have probes. Only init containers have a restartPolicy.
 */
function validateRestarts(at: string, container: any, isInit: boolean): FieldError[] {
  const { restartPolicy } = container;
  if (!isInit) {
    if (!restartPolicy) return [];
    return [forbidden(`${at}.restartPolicy`, 'may not be set for non-init containers')];
  }
  if (restartPolicy === 'Always') return [];
  if (restartPolicy) return [notSupported(`${at}.restartPolicy`, restartPolicy, ['Always'])];
  return ['lifecycle', ...PROBES]
    .filter((field) => container[field])
    .map((field) => {
      const why = 'may not be set for init containers without restartPolicy=Always';
      return forbidden(`${at}.${field}`, why);
    });
}

function validatePorts(at: string, ports: any[], hostNetwork: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const { name, containerPort, hostPort, protocol = 'TCP' } = port;
    const field = `${at}[${i}]`;
    errors.push(...matching(`${field}.containerPort`, containerPort, PORT));
    if (hostPort && !PORT.test(hostPort)) {
      errors.push(...matching(`${field}.hostPort`, hostPort, PORT));
    } else if (hostNetwork && hostPort !== containerPort) {
      const why = 'must match `containerPort` when `hostNetwork` is true';
      errors.push(wrong(`${field}.hostPort`, hostPort ?? 0, why));
    }
    errors.push(...oneOf(`${field}.protocol`, protocol, API_PROTOCOLS));
    errors.push(
      ...optional(`${field}.name`, name, { ...PORT_NAME, hint: 'must be a valid port name' }),
    );
    if (name && names.has(name)) errors.push(duplicate(`${field}.name`, name));
    names.add(name);
  }
  return errors;
}

function validateVariable(at: string, { name, value, valueFrom }: any): FieldError[] {
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${at}.name`));
  else if (!ENV_NAME.test(name)) errors.push(wrong(`${at}.name`, name, ENV_NAME_HINT));
  if (!valueFrom) return errors;
  const given = ENV_SOURCES.filter((source) => valueFrom[source]);
  if (value) {
    errors.push(wrong(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty'));
  }
  const path = valueFrom.fieldRef?.fieldPath;
  if (path !== undefined && !ENV_FIELDS.includes(path) && !ENV_KEYED_FIELD.test(path)) {
    errors.push(notSupported(`${at}.valueFrom.fieldRef.fieldPath`, path, ENV_FIELDS));
  }
  if (given.length === 0) {
    const list = ENV_SOURCES.map((source) => `\`${source}\``).join(', ');
    errors.push(wrong(`${at}.valueFrom`, '', `must specify one of: ${list}`));
  } else if (given.length > 1) {
    const why = 'may not have more than one field specified at a time';
    errors.push(wrong(`${at}.valueFrom`, '', why));
  }
  return errors;
}

function validateMounts(at: string, mounts: any[], spec: any): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = new Set((spec.volumes ?? []).map((v: any) => v.name));
  const paths = new Set<string>();
  for (const [i, { name, mountPath, subPath, subPathExpr }] of mounts.entries()) {
    const field = `${at}[${i}]`;
    if (!name) errors.push(required(`${field}.name`));
    else if (!volumes.has(name)) errors.push(absent(`${field}.name`, name));
    if (!mountPath) errors.push(required(`${field}.mountPath`));
    else if (paths.has(mountPath)) {
      errors.push(wrong(`${field}.mountPath`, mountPath, 'must be unique'));
    }
    paths.add(mountPath);
    if (subPath && subPathExpr) {
      errors.push(
        wrong(
          `${field}.subPathExpr`,
          subPathExpr,
          'subPathExpr and subPath are mutually exclusive',
        ),
      );
    }
    if (subPath) errors.push(...validateSubPath(`${field}.subPath`, subPath));
    if (subPathExpr) errors.push(...validateSubPath(`${field}.subPathExpr`, subPathExpr));
  }
  return errors;
}

function absent(field: string, value: unknown): FieldError {
  return { field, reason: 'FieldValueNotFound', message: `Not found: ${JSON.stringify(value)}` };
}

function validateSubPath(at: string, path: string): FieldError[] {
  if (path.startsWith('/')) return [wrong(at, path, 'must be a relative path')];
  return path.split('/').includes('..') ? [wrong(at, path, "must not contain '..'")] : [];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
