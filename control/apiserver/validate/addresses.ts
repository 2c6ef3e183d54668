// Addresses and ranges in objects: k8s.io/apimachinery/pkg/util/validation,
// pkg/apis/core/validation (ValidateNonSpecialIP).
import { BlockList, isIP } from 'node:net';
import { type FieldError, wrong } from '../status.ts';
import type { Format } from './formats.ts';

export const IP_HINT = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
export const CIDR: Format = {
  test: (text) => parseCidr(String(text)) !== null,
  hint: 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
};

/**
 * Addresses of the machine itself, of its link, or of many receivers: they would bypass a firewall
 * or lead nowhere. Upstream accepts the last two rows.
 */
const SPECIAL = [
  ['may not be unspecified (0.0.0.0 or ::)', '0.0.0.0/32', '::/128'],
  ['may not be in the loopback range (127.0.0.0/8, ::1/128)', '127.0.0.0/8', '::1/128'],
  ['may not be in the link-local range (169.254.0.0/16, fe80::/10)', '169.254.0.0/16', 'fe80::/10'],
  [
    'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    '224.0.0.0/24',
    'ff02::/16',
  ],
  ['may not be in the multicast range (224.0.0.0/4, ff00::/8)', '224.0.0.0/4', 'ff00::/8'],
  ['may not be the broadcast address (255.255.255.255)', '255.255.255.255/32'],
].map(([hint, ...ranges]): [hint: string, block: BlockList] => {
  const block = new BlockList();
  for (const range of ranges) {
    const { address, prefix, family } = parseCidr(range)!;
    block.addSubnet(address, prefix, family);
  }
  return [hint!, block];
});

/** The errors of an address that must be one of a single machine. */
export function validateUnicast(field: string, ip: string): FieldError[] {
  if (!isIP(ip)) return [wrong(field, ip, IP_HINT)];
  const found = SPECIAL.find(([, block]) => block.check(ip, isIP(ip) === 4 ? 'ipv4' : 'ipv6'));
  return found ? [wrong(field, ip, found[0])] : [];
}

export interface Cidr {
  address: string;
  prefix: number;
  family: 'ipv4' | 'ipv6';
}

/** Null if the text is not a range. */
export function parseCidr(text: string): Cidr | null {
  const [, address = '', bits] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const version = isIP(address);
  const prefix = Number(bits);
  if (version === 0 || prefix > (version === 4 ? 32 : 128)) return null;
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}
