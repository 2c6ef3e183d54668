// Rules of probes and hooks: pkg/apis/core/validation, ValidateProbe and ValidateHandler.

import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { matching, oneOf, PORT, PORT_NAME } from './formats.ts';

const SCHEMES = ['HTTP', 'HTTPS'];
const NOT_NEGATIVE = 'must be greater than or equal to 0';
const NUMBERS = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
];

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
/** @param name such as `livenessProbe`: some rules depend on it. */
export function validateProbe(at: string, name: string, probe: any): FieldError[] {
  const errors = validateAction(at, probe, ['exec', 'grpc', 'httpGet', 'tcpSocket']);
  for (const field of NUMBERS) {
    if (probe[field] < 0) errors.push(wrong(`${at}.${field}`, probe[field], NOT_NEGATIVE));
  }
  const { successThreshold, terminationGracePeriodSeconds: graceS } = probe;
  if (name !== 'readinessProbe' && successThreshold !== 1) {
    errors.push(wrong(`${at}.successThreshold`, successThreshold, 'must be 1'));
  }
  if (graceS === undefined) return errors;
  const grace = `${at}.terminationGracePeriodSeconds`;
  if (name === 'readinessProbe') {
    errors.push(wrong(grace, graceS, 'must not be set for readinessProbes'));
  } else if (graceS <= 0) errors.push(wrong(grace, graceS, 'must be greater than 0'));
  return errors;
}

/** @param graceS grace period of the pod. A hook must not sleep longer. */
export function validateLifecycle(at: string, lifecycle: any, graceS: number): FieldError[] {
  return ['postStart', 'preStop'].flatMap((name) => {
    const hook = lifecycle[name];
    if (!hook) return [];
    const known = ['exec', 'httpGet', 'tcpSocket', 'sleep'];
    const errors = validateAction(`${at}.${name}`, hook, known);
    const seconds = hook.sleep?.seconds;
    if (seconds < 0 || seconds > graceS) {
      const hint = `must be non-negative and less than terminationGracePeriodSeconds (${graceS})`;
      errors.push(wrong(`${at}.${name}.sleep`, seconds, hint));
    }
    return errors;
  });
}

function validateAction(at: string, handler: any, known: string[]): FieldError[] {
  const given = known.filter((action) => handler[action]);
  if (given.length === 0) return [required(at, 'must specify a handler type')];
  const errors = given
    .slice(1)
    .map((action) => forbidden(`${at}.${action}`, 'may not specify more than 1 handler type'));
  const { exec, grpc, httpGet, tcpSocket } = handler;
  if (exec && !exec.command?.length) errors.push(required(`${at}.exec.command`));
  if (httpGet) {
    if (!httpGet.path) errors.push(required(`${at}.httpGet.path`));
    errors.push(...oneOf(`${at}.httpGet.scheme`, httpGet.scheme, SCHEMES));
    errors.push(...validatePort(`${at}.httpGet.port`, httpGet.port));
  }
  if (grpc) errors.push(...matching(`${at}.grpc.port`, grpc.port, PORT));
  if (tcpSocket) errors.push(...validatePort(`${at}.tcpSocket.port`, tcpSocket.port));
  return errors;
}

function validatePort(at: string, port: unknown): FieldError[] {
  if (typeof port !== 'string') return matching(at, port, PORT);
  return PORT_NAME.test(port) ? [] : [wrong(at, port, 'must be a valid port name')];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
