// Rules of Endpoints: pkg/apis/core/validation (ValidateEndpoints).

import { parseAddress } from '../../../datapath/wire/address.ts';
import type { KubeObject } from '../../kube/object.ts';
import { API_PROTOCOLS } from '../../model/parse.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';
import { validateUnicast } from './addresses.ts';
import { DNS_LABEL_HINT, isDnsLabel } from './names.ts';
import { isPort, PORT_HINT } from './service-ports.ts';

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
      if (!API_PROTOCOLS.includes(protocol)) {
        errors.push(notSupported(`${place}.protocol`, protocol, API_PROTOCOLS));
      }
    }
    return errors;
  });
}

// Rules of EndpointSlices across fields: pkg/apis/discovery/validation.

const ENDPOINTS_MAX = 1000;
const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6'];

export function validateEndpointSlice(
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const type = object.addressType as string | undefined;
  if (!type) return [required('addressType')];
  if (!ADDRESS_TYPES.includes(type)) return [notSupported('addressType', type, ADDRESS_TYPES)];
  if (old && old.addressType !== type) return [wrong('addressType', type, 'field is immutable')];
  const endpoints = object.endpoints as { addresses?: string[] }[];
  if (endpoints.length > ENDPOINTS_MAX) {
    return [wrong('endpoints', endpoints.length, `must have at most ${ENDPOINTS_MAX} items`)];
  }
  return endpoints.flatMap(({ addresses }, i) => {
    if (!addresses?.length) {
      return [required(`endpoints[${i}].addresses`, 'must contain at least 1 address')];
    }
    return addresses.flatMap((address, j) => {
      const field = `endpoints[${i}].addresses[${j}]`;
      if (type === 'IPv4' && parseAddress(address) === null) {
        return [wrong(field, address, 'must be a valid IPv4 address')];
      }
      return type === 'FQDN' ? [] : validateUnicast(field, address);
    });
  });
}
