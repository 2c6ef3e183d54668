// Filters on the cables of a lab's pods. A packet with a source other than the pod's address goes
// to the device for spoofed packets, before routing.
import { parseAddress } from '../../datapath/wire/address.ts';
import { hasLink, ipBatch, readRoutes, tcBatch } from './ip.ts';
import type { Part } from './reconcile.ts';
import { TABLE_PODS } from './rule.ts';

/** The node's end of a pod's cable, and the pod's address. */
export interface Cable {
  link: string;
  address: string;
}

/**
 * A command whose output separates those of others: a fixed number of lines about a device that
 * always exists.
 */
const SEPARATOR = 'qdisc show dev lo';

/**
 * `tc -batch` lines for a cable without filters. The catch-all filter comes first, so that nothing
 * passes meanwhile.
 */
export function filterLines({ link, address }: Cable, spoofed: string): string[] {
  const add = `filter add dev ${link} ingress protocol`;
  return [
    `qdisc add dev ${link} clsact`,
    // For all protocols: the kernel strips a VLAN tag with id 0 only after this filter, and then
    // uses the inner protocol.
    `${add} all pref 3 u32 match u32 0 0 action mirred egress redirect dev ${spoofed}`,
    `${add} ip pref 1 u32 match ip src ${address}/32 classid 1:1`,
    `${add} arp pref 2 u32 match u32 0 0 classid 1:1`,
  ];
}

/** `ip -batch` lines that create the device for spoofed packets. */
export function spoofedLines(spoofed: string): string[] {
  return [`tuntap add mode tun name ${spoofed} vnet_hdr`, `link set ${spoofed} up`];
}

/** The same filters in the form of `parseFilters`. */
export function wantedFilters(address: string, spoofed: string): string[] {
  const hex = (parseAddress(address)! >>> 0).toString(16).padStart(8, '0');
  const anything = 'match 00000000/00000000 at 0';
  return [
    `ip 1 flowid 1:1 match ${hex}/ffffffff at 12`,
    `arp 2 flowid 1:1 ${anything}`,
    `all 3 ${anything} Egress Redirect to device ${spoofed}`,
  ];
}

/**
 * The output of `tc filter show` for one device, a line per filter, without numbers that the kernel
 * assigns.
 */
export function parseFilters(text: string): string[] {
  const filters: string[] = [];
  const more = (words: string) => filters.push(`${filters.pop() ?? ''} ${words}`);
  for (const line of text.split('\n')) {
    const head = /^filter protocol (\S+) pref (\d+) (\S+)(.*)$/.exec(line);
    if (head) {
      const [, protocol, pref, kind, rest] = head;
      // A u32 filter also has lines for its table and its hash.
      if (kind === 'u32' && !rest!.includes(' order ')) continue;
      filters.push(`${protocol} ${pref}${kind === 'u32' ? '' : ` ${kind}`}`);
      const flow = /flowid (\d+:\d+)/.exec(rest!);
      if (flow) more(`flowid ${flow[1]}`);
    }
    const match = /^\s+(match \S+ at \S+)/.exec(line) ?? /mirred \((.*)\)/.exec(line);
    if (match) more(match[1]!);
  }
  return filters;
}

/** Reconciles the filters of every cable with a route in TABLE_PODS, and their target device. */
export function cablesPart(spoofed: string): Part {
  const changed = () => {
    const cables = readCables();
    const filters = readFilters(cables);
    const wrong = cables.filter(
      ({ address }, i) => filters[i]!.join('\n') !== wantedFilters(address, spoofed).join('\n'),
    );
    if (wrong.length === 0) return [];
    // A cable that was removed meanwhile has no filters either.
    const left = new Set(readCables().map(({ link }) => link));
    return wrong.filter(({ link }) => left.has(link));
  };
  return {
    missing: () => [
      ...(hasLink(spoofed) ? [] : [`the device ${spoofed} is gone`]),
      ...changed().map(({ link, address }) => `${link} does not hold ${address} to its address`),
    ],
    mend() {
      if (!hasLink(spoofed)) ipBatch(spoofedLines(spoofed));
      const lines = changed().flatMap((cable) => [
        `qdisc del dev ${cable.link} clsact`,
        ...filterLines(cable, spoofed),
      ]);
      // The qdisc or the cable may be gone already. The next run compares again.
      tcBatch(lines);
    },
  };
}

function readCables(): Cable[] {
  const routes = readRoutes('table', String(TABLE_PODS));
  return routes.flatMap(({ dst, dev }) => (dev ? [{ link: dev, address: dst }] : []));
}

/** The filters of each cable, read by one process. */
function readFilters(cables: Cable[]): string[][] {
  const lines = cables.flatMap(({ link }) => [`filter show dev ${link} ingress`, SEPARATOR]);
  return splitAnswers(tcBatch(lines), cables.length).map(parseFilters);
}

/**
 * Splits output into this many answers, each followed by the lines of SEPARATOR. Throws if that
 * fails.
 */
export function splitAnswers(text: string, count: number): string[] {
  if (count === 0) return [];
  const parts = text.split(/^qdisc .*\n/m);
  const each = (parts.length - 1) / count;
  if (each < 1 || !Number.isInteger(each))
    throw new Error('tc does not show the filters of cables');
  return Array.from({ length: count }, (_, i) => parts[i * each]!);
}
