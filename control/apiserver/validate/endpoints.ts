// Rules of Endpoints: pkg/apis/core/validation (ValidateEndpoints).

import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';
import { validateUnicast } from './addresses.ts';
import { DNS_LABEL_HINT, isDnsLabel } from './names.ts';
import { isPort, PORT_HINT } from './service-ports.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];

interface Subset {
  addresses?: { ip?: string; hostname?: string }[];
  notReadyAddresses?: { ip?: string; hostname?: string }[];
  ports?: { name?: string; port?: number; protocol?: string }[];
}

export function defaultEndpoints(object: KubeObject): void {
  for (const { ports } of (object.subsets ?? []) as Subset[]) {
    for (const port of ports ?? []) port.protocol ??= 'TCP';
  }
}

export function validateEndpoints(object: KubeObject): FieldError[] {
  return ((object.subsets ?? []) as Subset[]).flatMap((subset, i) => {
    const at = `subsets[${i}]`;
    const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
    const errors: FieldError[] = [];
    if (addresses.length === 0 && notReadyAddresses.length === 0) {
      errors.push(required(at, 'must specify `addresses` or `notReadyAddresses`'));
    }
    for (const [list, rows] of Object.entries({ addresses, notReadyAddresses })) {
      for (const [j, { ip = '', hostname }] of rows.entries()) {
        const place = `${at}.${list}[${j}]`;
        errors.push(...validateUnicast(`${place}.ip`, ip));
        if (hostname && !isDnsLabel(hostname)) {
          errors.push(wrong(`${place}.hostname`, hostname, DNS_LABEL_HINT));
        }
      }
    }
    for (const [j, { name, port, protocol = '' }] of ports.entries()) {
      const place = `${at}.ports[${j}]`;
      if (!name && ports.length > 1) errors.push(required(`${place}.name`));
      else if (name && !isDnsLabel(name)) errors.push(wrong(`${place}.name`, name, DNS_LABEL_HINT));
      if (!isPort(port)) errors.push(wrong(`${place}.port`, port, PORT_HINT));
      if (!PROTOCOLS.includes(protocol)) {
        errors.push(notSupported(`${place}.protocol`, protocol, PROTOCOLS));
      }
    }
    return errors;
  });
}
