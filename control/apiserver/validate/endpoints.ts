// Rules of Endpoints: pkg/apis/core/validation (ValidateEndpoints).

import { parseAddress } from '../../../datapath/wire/address.ts';
import type { KubeObject } from '../../kube/object.ts';
import { API_PROTOCOLS } from '../../model/parse.ts';
import { type FieldError, required, wrong } from '../status.ts';
import { validateUnicast } from './addresses.ts';
import { DNS_LABEL, each, matching, oneOf, optional, PORT } from './formats.ts';

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
  return each('subsets', object.subsets as Subset[] | undefined, (at, subset) => {
    const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
    const errors: FieldError[] = [];
    if (addresses.length === 0 && notReadyAddresses.length === 0) {
      errors.push(required(at, 'must specify `addresses` or `notReadyAddresses`'));
    }
    for (const [list, rows] of Object.entries({ addresses, notReadyAddresses })) {
      const found = each(`${at}.${list}`, rows, (place, { ip = '', hostname }) => [
        ...validateUnicast(`${place}.ip`, ip),
        ...optional(`${place}.hostname`, hostname, DNS_LABEL),
      ]);
      errors.push(...found);
    }
    const ofPorts = each(`${at}.ports`, ports, (place, { name, port, protocol = '' }) => [
      ...(!name && ports.length > 1 ? [required(`${place}.name`)] : []),
      ...optional(`${place}.name`, name, DNS_LABEL),
      ...matching(`${place}.port`, port, PORT),
      ...oneOf(`${place}.protocol`, protocol, API_PROTOCOLS),
    ]);
    return [...errors, ...ofPorts];
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
  if (!ADDRESS_TYPES.includes(type)) return oneOf('addressType', type, ADDRESS_TYPES);
  if (old && old.addressType !== type) return [wrong('addressType', type, 'field is immutable')];
  const endpoints = object.endpoints as { addresses?: string[] }[];
  if (endpoints.length > ENDPOINTS_MAX) {
    return [wrong('endpoints', endpoints.length, `must have at most ${ENDPOINTS_MAX} items`)];
  }
  return each('endpoints', endpoints, (at, { addresses }) => {
    if (!addresses?.length) {
      return [required(`${at}.addresses`, 'must contain at least 1 address')];
    }
    return each(`${at}.addresses`, addresses, (field, address) => {
      if (type === 'IPv4' && parseAddress(address) === null) {
        return [wrong(field, address, 'must be a valid IPv4 address')];
      }
      return type === 'FQDN' ? [] : validateUnicast(field, address);
    });
  });
}
