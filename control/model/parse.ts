// Parts of API objects that several kinds share.

import { parseAddress, parseRange, type Range4 } from '../../datapath/wire/address.ts';
import { PROTO_BY_NAME } from '../../datapath/wire/ipv4.ts';

/** Protocols that a port in the API may have. */
export const API_PROTOCOLS = ['SCTP', 'TCP', 'UDP'];

/** The PROTO_* of `TCP`, `UDP` or `SCTP`; TCP if the field is absent, null for anything else. */
export function parseProtocol(text: string | undefined): number | null {
  const name = text ?? 'TCP';
  return API_PROTOCOLS.includes(name) ? PROTO_BY_NAME.get(name.toLowerCase())! : null;
}

/** The IPv4 addresses of a list, in order and without duplicates. Leaves out other texts. */
export function parseAddresses(texts: Iterable<string | undefined>): number[] {
  const found = new Set<number>();
  for (const text of texts) {
    const address = text === undefined ? null : parseAddress(text);
    if (address !== null) found.add(address);
  }
  return [...found];
}

/** The IPv4 ranges of a list, in order. Leaves out other texts. */
export function parseRanges(texts: Iterable<string>): Range4[] {
  return [...texts].map((text) => parseRange(text)).filter((range) => range !== null);
}

export function objectKey(metadata: { namespace?: string; name?: string } | undefined): string {
  return `${metadata?.namespace ?? 'default'}/${metadata?.name ?? ''}`;
}

/** The name of a Service port, `NS/NAME:PORT`. PORT is its name, or its number if it has none. */
export function portKey(service: string, port: { name: string; number: number }): string {
  return `${service}:${port.name || port.number}`;
}

/** `NS/NAME` of a Service port. */
export function serviceKeyOf(port: string): string {
  return port.slice(0, port.lastIndexOf(':'));
}
