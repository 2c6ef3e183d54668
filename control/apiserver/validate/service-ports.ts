// Ports of Services: pkg/apis/core/validation (validateServicePort, ValidateService).

import { API_PROTOCOLS } from '../../model/parse.ts';
import { duplicate, type FieldError, forbidden, required, wrong } from '../status.ts';
import {
  DNS_LABEL,
  each,
  matching,
  oneOf,
  optional,
  PORT,
  PORT_NAME,
  QUALIFIED_NAME,
} from './formats.ts';

const KUBELET_PORT = 10_250;

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
  const ports: any[] = spec.ports ?? [];
  return each('spec.ports', ports, (at, port, i) => {
    const errors = validatePort(at, port, ports.length > 1);
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
    return errors;
  });
}

function validatePort(at: string, port: any, needsName: boolean): FieldError[] {
  const { name, protocol, targetPort, appProtocol } = port;
  const isName = typeof targetPort === 'string';
  return [
    ...(needsName && !name ? [required(`${at}.name`)] : []),
    // The name of a Service port is a DNS label. Only a targetPort is a port name of at most 15
    // characters.
    ...optional(`${at}.name`, name, DNS_LABEL),
    ...matching(`${at}.port`, port.port, PORT),
    ...oneOf(`${at}.protocol`, protocol, API_PROTOCOLS),
    ...matching(`${at}.targetPort`, targetPort, isName ? PORT_NAME : PORT),
    ...(appProtocol === undefined
      ? []
      : matching(`${at}.appProtocol`, appProtocol, QUALIFIED_NAME)),
  ];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
