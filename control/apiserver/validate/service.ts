// Rules of Services across fields: pkg/apis/core/validation (ValidateService).
import { parseAddress } from '../../../datapath/wire/address.ts';
import { DNS_LABEL_HINT, isDnsLabel, isPortName } from '../names.ts';
import type { KubeObject } from '../object.ts';
import { duplicate, type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';
import { validateLabels } from './labels.ts';

export const PORT_HINT = 'must be between 1 and 65535, inclusive';
const PORT_NAME_HINT = 'must be a valid port name of at most 15 characters';
const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const AFFINITY_S_MAX = 86_400;

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validateService(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  const errors: FieldError[] = [];
  if (!TYPES.includes(spec.type)) errors.push(notSupported('spec.type', spec.type, TYPES));
  const headless = spec.clusterIP === 'None';
  if (spec.type === 'ExternalName') {
    if (!spec.externalName) errors.push(required('spec.externalName'));
  } else if (!spec.ports?.length && !headless) errors.push(required('spec.ports'));
  if (headless && ['NodePort', 'LoadBalancer'].includes(spec.type)) {
    errors.push(
      wrong('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`),
    );
  }
  errors.push(
    ...validatePorts(spec),
    ...validateAffinity(spec),
    ...validateAddresses(spec),
    ...validatePolicies(spec),
    ...validateLabels('spec.selector', spec.selector),
    ...validateClusterIP(spec, old?.spec),
  );
  return errors;
}

function validatePorts(spec: any): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const numbers = new Set<string>();
  const ports: any[] = spec.ports ?? [];
  const needsNode = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    if (!isPort(port.port)) errors.push(wrong(`${at}.port`, port.port, PORT_HINT));
    if (!PROTOCOLS.includes(port.protocol)) {
      errors.push(notSupported(`${at}.protocol`, port.protocol, PROTOCOLS));
    }
    const target = port.targetPort;
    if (typeof target === 'string' ? !isPortName(target) : !isPort(target)) {
      const hint = typeof target === 'string' ? PORT_NAME_HINT : PORT_HINT;
      errors.push(wrong(`${at}.targetPort`, target, hint));
    }
    if (ports.length > 1 && !port.name) errors.push(required(`${at}.name`));
    if (port.name && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
    // A label like any other; only what a targetPort names is a port name, of 15 characters.
    if (port.name && !isDnsLabel(port.name)) {
      errors.push(wrong(`${at}.name`, port.name, DNS_LABEL_HINT));
    }
    const number = `${port.protocol}/${port.port}`;
    if (numbers.has(number)) {
      errors.push(duplicate(at, { port: port.port, protocol: port.protocol }));
    }
    if (port.nodePort && !needsNode) {
      errors.push(forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type}'`));
    }
    names.add(port.name);
    numbers.add(number);
  }
  return errors;
}

function validateAffinity(spec: any): FieldError[] {
  const kinds = ['ClientIP', 'None'];
  if (!kinds.includes(spec.sessionAffinity)) {
    return [notSupported('spec.sessionAffinity', spec.sessionAffinity, kinds)];
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds === undefined || (seconds >= 1 && seconds <= AFFINITY_S_MAX)) return [];
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  return [wrong(field, seconds, `must be greater than 0 and less than ${AFFINITY_S_MAX}`)];
}

function validateAddresses(spec: any): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, address] of (spec.externalIPs ?? []).entries()) {
    if (parseAddress(address) === null) {
      const hint = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
      errors.push(wrong(`spec.externalIPs[${i}]`, address, hint));
    }
  }
  if (spec.loadBalancerSourceRanges?.length && spec.type !== 'LoadBalancer') {
    const hint = "may only be used when `type` is 'LoadBalancer'";
    errors.push(forbidden('spec.LoadBalancerSourceRanges', hint));
  }
  return errors;
}

function validatePolicies(spec: any): FieldError[] {
  const kinds = ['Cluster', 'Local'];
  return ['internalTrafficPolicy', 'externalTrafficPolicy']
    .filter((name) => spec[name] !== undefined && !kinds.includes(spec[name]))
    .map((name) => notSupported(`spec.${name}`, spec[name], kinds));
}

function validateClusterIP(spec: any, old: any): FieldError[] {
  const { clusterIP } = spec;
  if (clusterIP && clusterIP !== 'None' && parseAddress(clusterIP) === null) {
    const hint = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
    return [wrong('spec.clusterIPs[0]', clusterIP, hint)];
  }
  const had = old && old.type !== 'ExternalName' && old.clusterIP;
  if (had && spec.type !== 'ExternalName' && clusterIP !== had) {
    return [wrong('spec.clusterIPs[0]', clusterIP, 'may not change once set')];
  }
  return [];
}

export function isPort(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
