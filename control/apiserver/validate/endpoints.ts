// Rules of Endpoints, and of the addresses that an endpoint may have: pkg/apis/core/validation (ValidateEndpoints).
import { BlockList, isIP } from 'node:net';
import { DNS_LABEL_HINT, isDnsLabel } from '../names.ts';
import type { KubeObject } from '../object.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';
import { isPort, PORT_HINT } from './service.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const IP_HINT = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

/** Addresses that mean the machine itself or its own wire: a way around a firewall, were they endpoints. */
const SPECIAL = [
  ['may not be unspecified (0.0.0.0 or ::)', '0.0.0.0/32', '::/128'],
  ['may not be in the loopback range (127.0.0.0/8, ::1/128)', '127.0.0.0/8', '::1/128'],
  ['may not be in the link-local range (169.254.0.0/16, fe80::/10)', '169.254.0.0/16', 'fe80::/10'],
  [
    'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    '224.0.0.0/24',
    'ff02::/16',
  ],
].map(([hint, ...ranges]): [hint: string, block: BlockList] => {
  const block = new BlockList();
  for (const range of ranges) {
    const [address, prefix] = range.split('/') as [string, string];
    block.addSubnet(address, Number(prefix), familyOf(address));
  }
  return [hint!, block];
});

interface Subset {
  addresses?: { ip?: string; hostname?: string }[];
  notReadyAddresses?: { ip?: string; hostname?: string }[];
  ports?: { name?: string; port?: number; protocol?: string }[];
}

/** What is wrong with an address of an endpoint. */
export function validateEndpointAddress(field: string, ip: string): FieldError[] {
  if (!isIP(ip)) return [wrong(field, ip, IP_HINT)];
  const found = SPECIAL.find(([, block]) => block.check(ip, familyOf(ip)));
  return found ? [wrong(field, ip, found[0])] : [];
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
        errors.push(...validateEndpointAddress(`${place}.ip`, ip));
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

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}
