import { lookup } from 'node:dns/promises';
import { parseAddresses } from '../model/parse.ts';

/** IPv4 addresses of the API server at a URL; none where its name is not known yet. */
export async function apiAddressesOf(server: string): Promise<number[]> {
  const { hostname } = new URL(server);
  const found = await lookup(hostname, { family: 4, all: true }).catch(() => []);
  return parseAddresses(found.map(({ address }) => address));
}
