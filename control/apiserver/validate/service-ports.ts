// Ports of Services: pkg/apis/core/validation (validateServicePort, ValidateService).

import { API_PROTOCOLS } from '../../model/parse.ts';
import { duplicate, type FieldError, forbidden, notSupported, required, wrong } from '../status.ts';
import { QUALIFIED_HINT } from './labels.ts';
import { DNS_LABEL_HINT, isDnsLabel, isPortName, isQualifiedName } from './names.ts';

export const PORT_HINT = 'must be between 1 and 65535, inclusive';
const PORT_NAME_HINT = 'must be a valid port name of at most 15 characters';
const KUBELET_PORT = 10_250;

export function isPort(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
/** True if clients outside the cluster can reach the Service. */
export function isExternal({ type, externalIPs }: any): boolean {
  return hasNodePorts({ type }) || (type === 'ClusterIP' && externalIPs?.length > 0);
}

export function hasNodePorts({ type }: any): boolean {
  return type === 'NodePort' || type === 'LoadBalancer';
}

/** True if a load balancer asks each node whether it has endpoints. */
export function hasHealthPort({ type, externalTrafficPolicy }: any): boolean {
  return type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
}

export function hasAddress({ type }: any): boolean {
  return type !== 'ExternalName';
}

export function validatePorts(spec: any): FieldError[] {
  const errors: FieldError[] = [];
  const ports: any[] = spec.ports ?? [];
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    errors.push(...validatePort(at, port, ports.length > 1));
    const earlier = ports.slice(0, i).filter(({ protocol }) => protocol === port.protocol);
    if (port.name && ports.findIndex(({ name }) => name === port.name) < i) {
      errors.push(duplicate(`${at}.name`, port.name));
    }
    if (port.nodePort && earlier.some(({ nodePort }) => nodePort === port.nodePort)) {
      errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    }
    if (earlier.some((other) => other.port === port.port)) {
      errors.push(duplicate(at, { port: port.port, protocol: port.protocol }));
    }
    if (port.nodePort && !hasNodePorts(spec)) {
      errors.push(forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type}'`));
    }
    // Some clouds open their firewall wider than the load balancer.
    if (spec.type === 'LoadBalancer' && port.port === KUBELET_PORT) {
      const why = 'may not expose port 10250 externally since it is used by kubelet';
      errors.push(wrong(at, port.port, why));
    }
  }
  return errors;
}

function validatePort(at: string, port: any, needsName: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const { name, protocol, targetPort, appProtocol } = port;
  if (needsName && !name) errors.push(required(`${at}.name`));
  // The name of a Service port is a DNS label. Only a targetPort is a port name of at most 15
  // characters.
  else if (name && !isDnsLabel(name)) errors.push(wrong(`${at}.name`, name, DNS_LABEL_HINT));
  if (!isPort(port.port)) errors.push(wrong(`${at}.port`, port.port, PORT_HINT));
  if (!API_PROTOCOLS.includes(protocol)) {
    errors.push(notSupported(`${at}.protocol`, protocol, API_PROTOCOLS));
  }
  const isName = typeof targetPort === 'string';
  if (isName ? !isPortName(targetPort) : !isPort(targetPort)) {
    errors.push(wrong(`${at}.targetPort`, targetPort, isName ? PORT_NAME_HINT : PORT_HINT));
  }
  if (appProtocol !== undefined && !isQualifiedName(appProtocol)) {
    errors.push(wrong(`${at}.appProtocol`, appProtocol, QUALIFIED_HINT));
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
