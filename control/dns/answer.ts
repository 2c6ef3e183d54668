// Answers a question about the cluster from the zone alone. Pure. Source: CoreDNS
// plugin/kubernetes/handler.go and plugin/backend_lookup.go.
import { RCODE, TYPE } from './constants.ts';
import {
  addressesOf,
  type Found,
  findName,
  nameOfService,
  nameServers,
  type Target,
} from './lookup.ts';
import { foldCase, labelsBelow, labelsOf, type Name, parseName } from './name.ts';
import {
  type Answer,
  addressRecord,
  bareAnswer,
  type DnsRecord,
  nameRecord,
  serviceRecord,
  startOfAuthority,
  textRecord,
} from './record.ts';
import { NO_PORT } from './rows.ts';
import type { Zone } from './zone.ts';

/** TTL of every record about the cluster, seconds. */
export const TTL_S = 5;
/** The version of the specification does not change while a server runs. */
const VERSION_TTL_S = 28_800;
const VERSION = '1.1.0';
const ANY_TTL_S = 8482;
const ALIASES_MAX = 8;
const WEIGHT_SUM = 100;

export interface ZoneAnswer extends Answer {
  /** A name outside the cluster that the last CNAME leads to. The answer lacks its records. */
  chase: Name | null;
}

/**
 * The answer to a question of class IN, in the order of the objects. Null if the question is not
 * about the cluster.
 */
export function answerFromZone(
  zone: Zone,
  { name, type }: { name: Name; type: number },
): ZoneAnswer | null {
  if (type === TYPE.AXFR || type === TYPE.IXFR) return whole(bareAnswer(RCODE.REFUSED));
  if (type === TYPE.ANY) return whole(refuseAny(name));
  const folded = foldCase(name);
  const address = addressOfReverse(folded);
  if (address) return answerReverse(zone, name, type, address);
  const labels = labelsBelow(folded, zone.apex);
  if (labels === null) return null;
  // Before the first sync a name that is missing may exist.
  if (!zone.isSynced) return whole(bareAnswer(RCODE.SERVFAIL));
  if (labels.length === 0) return answerApex(zone, name, type);
  return answerFound(zone, name, type, findName(zone, labels), 0);
}

function answerApex(zone: Zone, name: Name, type: number): ZoneAnswer {
  if (type === TYPE.SOA) return positive([authorityOf(zone, zone.apex)]);
  if (type !== TYPE.NS) return negative(zone, RCODE.NOERROR);
  const servers = nameServers(zone);
  const owners = [...new Set(servers.map(({ owner }) => owner))];
  const records = owners.map((owner) => nameRecord(name, TYPE.NS, owner, TTL_S));
  const addresses = servers.map(({ owner, address }) => addressRecord(owner, address, TTL_S));
  return positive(records, addresses);
}

function answerFound(
  zone: Zone,
  name: Name,
  type: number,
  found: Found,
  aliases: number,
): ZoneAnswer {
  switch (found.kind) {
    case 'nothing':
      return negative(zone, RCODE.NXDOMAIN);
    case 'version':
      if (type !== TYPE.TXT) return negative(zone, RCODE.NOERROR);
      return positive([textRecord(name, TYPE.TXT, [VERSION], VERSION_TTL_S)]);
    case 'alias':
      return answerAlias(zone, name, type, found.target, aliases);
    case 'name':
      return answerTargets(zone, name, type, found.targets);
  }
}

function answerTargets(zone: Zone, name: Name, type: number, targets: Target[]): ZoneAnswer {
  if (type === TYPE.SRV) return answerPorts(zone, name, targets);
  const bytes = type === TYPE.A ? 4 : type === TYPE.AAAA ? 16 : 0;
  const fitting = targets.filter(({ address }) => address.length === bytes);
  if (fitting.length === 0) return negative(zone, RCODE.NOERROR);
  return positive(unique(fitting.map(({ address }) => addressRecord(name, address, TTL_S))));
}

/** Weights share out 100 among all targets, each at least 1. */
function answerPorts(zone: Zone, name: Name, targets: Target[]): ZoneAnswer {
  const weight = Math.max(1, Math.floor(WEIGHT_SUM / targets.length));
  const real = targets.filter(({ port }) => port !== NO_PORT);
  if (real.length === 0) return negative(zone, RCODE.NOERROR);
  const records = real.map(({ owner, port }) =>
    serviceRecord(name, { weight, port, target: owner }, TTL_S),
  );
  const addresses = real.map(({ owner, address }) => addressRecord(owner, address, TTL_S));
  return positive(unique(records), unique(addresses));
}

/** Follows an alias inside the cluster. The caller follows an alias that leads outside. */
function answerAlias(
  zone: Zone,
  name: Name,
  type: number,
  text: string,
  aliases: number,
): ZoneAnswer {
  const target = parseName(text);
  if (target === null) return negative(zone, RCODE.NXDOMAIN);
  const alias = nameRecord(name, TYPE.CNAME, target, TTL_S);
  if (type === TYPE.CNAME) return positive([alias]);
  if (type !== TYPE.A && type !== TYPE.AAAA) return negative(zone, RCODE.NOERROR);
  const labels = labelsBelow(foldCase(target), zone.apex);
  if (labels === null) return { ...positive([alias]), chase: target };
  if (aliases >= ALIASES_MAX) return negative(zone, RCODE.NOERROR);
  const next = answerFound(zone, target, type, findName(zone, labels), aliases + 1);
  // As in CoreDNS, an alias of a missing name is a name without data.
  if (next.answers.length === 0) return negative(zone, RCODE.NOERROR);
  return { ...next, answers: [alias, ...next.answers] };
}

/** Answers for ClusterIPs and for endpoints with a hostname. The cluster names no other address. */
function answerReverse(
  zone: Zone,
  name: Name,
  type: number,
  address: Uint8Array,
): ZoneAnswer | null {
  if (!zone.isSynced) return whole(bareAnswer(RCODE.SERVFAIL));
  const targets = namesOfAddress(zone, address);
  if (targets.length === 0) return null;
  const reverse = labelsOf(foldCase(name)).slice(-2);
  const apex = parseName(reverse.join('.'))!;
  if (type !== TYPE.PTR) return negative(zone, RCODE.NOERROR, apex);
  return positive(unique(targets.map((target) => nameRecord(name, TYPE.PTR, target, TTL_S))));
}

function namesOfAddress(zone: Zone, address: Uint8Array): Name[] {
  const service = zone.serviceAt(address);
  if (service) return [nameOfService(zone, service)];
  return zone.slicesWith(address).flatMap(({ service, endpoints }) => {
    const [namespace, name] = service.split('/') as [string, string];
    return endpoints
      .filter((endpoint) => endpoint.hostname !== null)
      .flatMap(addressesOf)
      .filter((row) => Buffer.compare(row.address, address) === 0)
      .map(({ hostname }) => zone.nameOf(hostname, name, namespace, 'svc'));
  });
}

/** The address of `1.0.96.10.in-addr.arpa` or of 32 nibbles below `ip6.arpa`. */
function addressOfReverse(name: Name): Uint8Array | null {
  if (!name.endsWith('\x04arpa\0')) return null;
  const labels = labelsOf(name);
  const kind = labels.at(-2);
  const parts = labels.slice(0, -2).reverse();
  if (kind === 'in-addr' && parts.length === 4) {
    const bytes = parts.map((part) => (/^(0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256));
    return bytes.every((byte) => byte < 256) ? Uint8Array.from(bytes) : null;
  }
  if (kind !== 'ip6' || parts.length !== 32) return null;
  if (!parts.every((part) => /^[0-9a-f]$/.test(part))) return null;
  return Uint8Array.from(Buffer.from(parts.join(''), 'hex'));
}

/** The minimal answer to type ANY (RFC 8482), which attackers use to provoke large answers. */
function refuseAny(name: Name): Answer {
  const text = textRecord(name, TYPE.HINFO, ['RFC8482', ''], ANY_TTL_S);
  return { ...bareAnswer(RCODE.NOERROR), answers: [text] };
}

function authorityOf(zone: Zone, apex: Name): DnsRecord {
  const below = (...labels: string[]) => parseName(labels.join('.'))!.slice(0, -1) + apex;
  const numbers = { serial: zone.serial, refresh: 7200, retry: 1800, expire: 86_400 };
  const [primary, mailbox] = [below('ns', 'dns'), below('hostmaster')];
  return startOfAuthority(apex, primary, mailbox, { ...numbers, minimum: TTL_S }, TTL_S);
}

function negative(zone: Zone, rcode: number, apex = zone.apex): ZoneAnswer {
  const authority = [authorityOf(zone, apex)];
  return whole({ ...bareAnswer(rcode), isAuthoritative: true, authority });
}

function positive(answers: DnsRecord[], additional: DnsRecord[] = []): ZoneAnswer {
  return whole({ ...bareAnswer(RCODE.NOERROR), isAuthoritative: true, answers, additional });
}

function whole(answer: Answer): ZoneAnswer {
  return { ...answer, chase: null };
}

/** Removes repeated records: two ports of one address give one record. */
function unique(records: DnsRecord[]): DnsRecord[] {
  const seen = new Set<string>();
  return records.filter(({ name, type, data }) => {
    const text = data.map((piece) => (typeof piece === 'string' ? piece : piece.join(' ')));
    return seen.size < seen.add([type, name, ...text].join('/')).size;
  });
}
