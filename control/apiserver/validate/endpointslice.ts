// Rules of EndpointSlices across fields: pkg/apis/discovery/validation.
import { parseAddress } from '../../../datapath/wire/address.ts';
import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';
import { validateUnicast } from './addresses.ts';

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
