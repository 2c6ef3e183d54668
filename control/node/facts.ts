// Facts about a machine. `preflight` decides from them whether an agent can run there.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { isTrustedArena } from '../../datapath/arena/file.ts';
import { holderOf, readAgent } from './claim.ts';
import {
  addressesOf,
  type LinkJson,
  readLinks,
  readRoutes,
  readSysctl,
  SYSCTL_ROOT,
} from './ip.ts';
import { TABLE, TABLE_CAPTURED, TABLE_RANGES } from './rule.ts';

const CAP_NET_ADMIN = 1n << 12n;

export interface LinkFact {
  name: string;
  /** `bridge`, `veth`, `tun`, ...; empty for hardware. */
  kind: string;
  /** The bridge that has it as a port. Empty for none. */
  master: string;
  /** The other end is attached. */
  carrier: boolean;
  /** IPv4 addresses. */
  addresses: string[];
}

/** A snapshot of the machine and of the network namespace that this process is in. */
export interface Facts {
  /** Effective user id. */
  uid: number;
  netAdmin: boolean;
  /** True if /dev/net/tun can be opened for reading and writing. */
  tun: boolean;
  /** True if ip(8) is on the PATH. */
  ip: boolean;
  /** True if the process shares the network namespace of the machine's first process. */
  rootNamespace: boolean;
  forward: boolean;
  /** Effective rp_filter by device: 0 off, 1 strict, 2 loose. */
  rpFilter: Record<string, number>;
  /** Ephemeral ports of the node, inclusive; null if unreadable. */
  ephemeralPorts: [number, number] | null;
  links: LinkFact[];
  /** Chains of packet filters, such as `nat KUBE-SERVICES`; null if no tool can list them. */
  filters: string[] | null;
  /** Routes in the tables that steering uses. */
  routes: { table: number; dst: string; dev: string }[];
  /** Another process that is the agent of this network namespace; null for none. */
  agent: number | null;
  /** The process that holds the arena; null for none. */
  arenaHolder: number | null;
}

/** Reads all facts. An unreadable fact counts as unfavourable. */
export function readFacts(arena: string): Facts {
  const ip = (process.env.PATH ?? '').split(':').some((folder) => existsSync(`${folder}/ip`));
  const routesOf = (table: number) =>
    readRoutes('table', String(table)).map(({ dst, dev = '' }) => ({ table, dst, dev }));
  return {
    uid: process.geteuid?.() ?? -1,
    netAdmin: hasNetAdmin(),
    tun: canOpen('/dev/net/tun'),
    ip,
    rootNamespace: sharesRootNamespace(),
    forward: readSysctl('ip_forward') === '1',
    rpFilter: readRpFilter(),
    ephemeralPorts: readEphemeralPorts(),
    links: ip ? readLinks().map(linkFact) : [],
    filters: readFilters(),
    routes: ip ? [TABLE, TABLE_CAPTURED, TABLE_RANGES].flatMap(routesOf) : [],
    agent: readAgent(),
    arenaHolder: isTrustedArena(arena) ? holderOf(arena) : null,
  };
}

/** net.ipv4.ip_local_port_range of this network namespace. */
export function readEphemeralPorts(): [number, number] | null {
  const [first, last] = readSysctl('ip_local_port_range')?.split(' ').map(Number) ?? [];
  return first && last ? [first, last] : null;
}

/** The kernel uses the larger of a device's value and that of `all`. */
function readRpFilter(): Record<string, number> {
  const all = Number(readSysctl('conf/all/rp_filter'));
  const found: Record<string, number> = {};
  for (const name of readdirSync(`${SYSCTL_ROOT}/conf`)) {
    if (name === 'all') continue;
    found[name] = Math.max(all, Number(readSysctl(`conf/${name}/rp_filter`)));
  }
  return found;
}

function linkFact(link: LinkJson): LinkFact {
  return {
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? '',
    master: link.master ?? '',
    carrier: link.flags?.includes('LOWER_UP') === true,
    addresses: addressesOf(link),
  };
}

/** Asks nft, and iptables-legacy only if its tables exist: asking it creates them. */
function readFilters(): string[] | null {
  const found: string[] = [];
  const nft = spawnSync('nft', ['-j', 'list', 'chains'], { encoding: 'utf8' });
  const known = nft.status === 0;
  if (known) found.push(...parseNft(nft.stdout));
  const legacy = readText('/proc/net/ip_tables_names').split('\n').includes('nat');
  if (!legacy) return known ? found : null;
  const saved = spawnSync('iptables-legacy-save', ['-t', 'nat'], { encoding: 'utf8' });
  if (saved.status !== 0) return known && found.length > 0 ? found : null;
  return [...found, ...[...saved.stdout.matchAll(/^:(\S+)/gm)].map(([, chain]) => `nat ${chain}`)];
}

/** `TABLE CHAIN` for each chain of `nft -j list chains`. */
export function parseNft(json: string): string[] {
  const { nftables } = JSON.parse(json) as {
    nftables: { chain?: { table: string; name: string } }[];
  };
  return nftables.flatMap(({ chain }) => (chain ? [`${chain.table} ${chain.name}`] : []));
}

function hasNetAdmin(): boolean {
  const found = /^CapEff:\s*([0-9a-f]+)/m.exec(readText('/proc/self/status'));
  return found !== null && (BigInt(`0x${found[1]}`) & CAP_NET_ADMIN) !== 0n;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * True in the network namespace of process 1, or of kthreadd (2) if process 1 is unreadable. True
 * too if both are unreadable.
 */
function sharesRootNamespace(): boolean {
  for (const pid of [1, 2]) {
    try {
      return readlinkSync('/proc/self/ns/net') === readlinkSync(`/proc/${pid}/ns/net`);
    } catch {}
  }
  return true;
}
