// The chains of one Service port: which endpoints a frontend of each kind leads to, and whether
// with masquerade. Pure; the rules are those of datapath/pipeline/establish.ts.

import {
  FRONTEND_CLUSTER,
  FRONTEND_LOADBALANCER,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
  type ServiceEntry,
} from '../../datapath/image/image.ts';
import { formatAddress, formatRange } from '../../datapath/wire/address.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';
import { outerRanges, rangesOfPairs } from '../../datapath/wire/ranges.ts';

/** Mark of packets to masquerade: they get the node's address as source. */
export const MASQUERADE = '0x4000';
/**
 * The kernel checks the elements of a map against every rule that reads it. With one map the time
 * would grow with the square of the Services.
 */
const BACKEND_MAPS = 256;
/** Map keys per Service id: half for all endpoints, half for those of this node. */
const NUMBERS_PER_ID = 32_768;
const ENDPOINTS_MAX = NUMBERS_PER_ID / 2;
const MARK = `meta mark set meta mark | ${MASQUERADE}`;

/** The objects of a Service port in the table. */
export interface ServiceRules {
  /** Name -> rules. */
  chains: Map<string, string[]>;
  /** Name -> definition. */
  sets: Map<string, string>;
  /** `MAP KEY` -> value. */
  elements: Map<string, string>;
}

/** The chain of the frontends of a kind. */
export function chainOf(service: ServiceEntry, kind: number): string {
  if (kind === FRONTEND_CLUSTER) return `cluster/${baseOf(service)}`;
  const ranged = kind === FRONTEND_LOADBALANCER && service.sourceRanges.length > 0;
  return `${ranged ? 'ranged' : 'external'}/${baseOf(service)}`;
}

/** The verdict for a new connection to a frontend of this kind that got no endpoint. */
export function denialOf(service: ServiceEntry, kind: number): string {
  const { flags, cluster, local, sourceRanges } = service;
  const ranged = kind === FRONTEND_LOADBALANCER && sourceRanges.length > 0;
  if (cluster.length === 0) return ranged ? `goto denied/${baseOf(service)}` : 'goto refuse';
  const policy =
    kind === FRONTEND_CLUSTER ? SERVICE_FLAG_INTERNAL_LOCAL : SERVICE_FLAG_EXTERNAL_LOCAL;
  const hollow = (flags & policy) !== 0 && local.length === 0;
  return hollow || ranged ? 'goto deny' : 'goto refuse';
}

/** @param kinds FRONTEND_* of its frontends. */
export function rulesOf(service: ServiceEntry, kinds: Set<number>): ServiceRules {
  const { flags, cluster, local } = service;
  const rules: ServiceRules = { chains: new Map(), sets: new Map(), elements: new Map() };
  const base = baseOf(service);
  const fromOutside = `ip saddr != @pods ${MARK}`;
  for (const endpoint of [...pairs(cluster, formatAddress), ...pairs(local, formatAddress)]) {
    rules.elements.set(`hairpins ${endpoint} . ${endpoint}`, '');
  }
  const all = select(service, cluster, false, rules);
  const own = flags === 0 ? [] : select(service, local, true, rules);
  if (kinds.has(FRONTEND_CLUSTER)) {
    const chosen = (flags & SERVICE_FLAG_INTERNAL_LOCAL) !== 0 ? own : all;
    rules.chains.set(`cluster/${base}`, [fromOutside, ...chosen]);
  }
  if ([...kinds].every((kind) => kind === FRONTEND_CLUSTER)) return rules;
  if ((flags & SERVICE_FLAG_EXTERNAL_LOCAL) === 0) {
    rules.chains.set(`external/${base}`, [MARK, ...all]);
  } else {
    rules.chains.set(`inside/${base}`, [fromOutside, ...all]);
    const inside = ['ip saddr @pods', 'ip saddr @own'].map((who) => `${who} goto inside/${base}`);
    rules.chains.set(`external/${base}`, [...inside, ...own]);
  }
  if (service.sourceRanges.length === 0) return rules;
  // Without nested ranges, because nft refuses overlaps.
  const ranges = outerRanges(rangesOfPairs(service.sourceRanges)).map(formatRange);
  const stranger = `ip saddr != { ${ranges.join(', ')} }`;
  rules.chains.set(`ranged/${base}`, [`${stranger} accept`, `goto external/${base}`]);
  rules.chains.set(`denied/${base}`, [`${stranger} goto deny`, 'goto refuse']);
  return rules;
}

function baseOf({ name, proto }: ServiceEntry): string {
  return `${name.replace(':', '/')}/${protoName(proto)}`;
}

/** Rules that choose one of the endpoints. Empty without endpoints. */
function select(
  service: ServiceEntry,
  endpoints: Int32Array,
  own: boolean,
  rules: ServiceRules,
): string[] {
  const count = Math.min(endpoints.length / 2, ENDPOINTS_MAX);
  if (count === 0) return [];
  if (service.affinityS > 0) return selectSame(service, endpoints, rules);
  const proto = `meta l4proto ${protoName(service.proto)}`;
  const [first, ...more] = pairs(
    endpoints,
    (address, port) => `${formatAddress(address)} . ${port}`,
  );
  if (more.length === 0) return [`${proto} dnat ip to ${first!.replace(' . ', ':')}`];
  // One map per protocol: nft refuses a map with the ports of another protocol in a dnat rule.
  const map = `${protoName(service.proto)}-backends${service.id % BACKEND_MAPS}`;
  rules.sets.set(
    map,
    `map typeof numgen random mod 2 : ip daddr . ${protoName(service.proto)} dport`,
  );
  const offset = service.id * NUMBERS_PER_ID + (own ? ENDPOINTS_MAX : 0);
  [first!, ...more].slice(0, count).forEach((endpoint, i) => {
    rules.elements.set(`${map} ${offset + i}`, endpoint);
  });
  return [`${proto} dnat ip to numgen random mod ${count} offset ${offset} map @${map}`];
}

/** With session affinity each endpoint has a chain, and a set of its clients. */
function selectSame(service: ServiceEntry, endpoints: Int32Array, rules: ServiceRules): string[] {
  const proto = `meta l4proto ${protoName(service.proto)}`;
  const known: string[] = [];
  const chains = pairs(endpoints, (address, port) => {
    const endpoint = `${baseOf(service)}/${formatAddress(address)}/${port}`;
    const [chain, clients] = [`endpoint/${endpoint}`, `clients/${endpoint}`];
    rules.sets.set(clients, 'set type ipv4_addr; flags dynamic,timeout; size 65535');
    rules.chains.set(chain, [
      `update @${clients} { ip saddr timeout ${service.affinityS}s }`,
      `${proto} dnat ip to ${formatAddress(address)}:${port}`,
    ]);
    known.push(`ip saddr @${clients} goto ${chain}`);
    return chain;
  });
  if (chains.length === 1) return [`goto ${chains[0]}`];
  const choice = chains.map((chain, i) => `${i} : goto ${chain}`).join(', ');
  return [...known, `numgen random mod ${chains.length} vmap { ${choice} }`];
}

function pairs(words: Int32Array, text: (a: number, b: number) => string): string[] {
  const texts: string[] = [];
  for (let i = 0; i < words.length; i += 2) texts.push(text(words[i]!, words[i + 1]!));
  return texts;
}
