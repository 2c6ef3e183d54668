import { MERGES, PROXIES, parseBusyPoll } from '../../control/agent-options.ts';
import { FLOWS_DEFAULT, FLOWS_LIMIT, FLOWS_MIN } from '../../datapath/arena/layout.ts';
import type { KubetunError } from '../../datapath/error.ts';
import {
  TIMEOUT_NAMES,
  TIMEOUT_S_MAX,
  TIMEOUT_S_MIN,
  type TimeoutSeconds,
} from '../../datapath/flow/timeouts.ts';
import { formatAddress, parseAddress, parseRange } from '../../datapath/wire/address.ts';
import { BUSY_POLL_US_MAX } from '../../datapath/worker/busy-poll.ts';
import { readYaml, type YamlDocument, type YamlPath, yamlError } from '../yaml/document.ts';
import { checkTopology } from './check.ts';
import {
  ATTACHMENTS,
  type Attach,
  attachOf,
  type DnsSettings,
  defaultNode,
  MTU_DEFAULT,
  MTU_MAX,
  MTU_MIN,
  NODES_DEFAULT,
  NODES_MAX,
  type NodeDefaults,
  nodeDefaults,
  POD_NAMES,
  RANGES_DEFAULT,
  type Ranges,
  type Topology,
  type TopologyNode,
} from './topology.ts';

const TOP_KEYS = [
  ...['name', 'nodes', 'mtu', 'flows', 'timeouts', 'ranges', 'proxy', 'attach', 'dns'],
  ...['merge', 'busyPoll', 'ingress'],
];
const NODE_KEYS = [
  ...['name', 'zone', 'mtu', 'address', 'publicAddress', 'podCIDR', 'labels', 'proxy', 'attach'],
];

/** The content of a topology file. `name` is the lab's name, if given. */
export interface TopologyFile {
  name: string | null;
  topology: Topology;
}

/**
 * Reads and checks a topology file. `nodes` is a count or a list. Missing values have defaults.
 * Throws KubetunError KT_FILE, KT_YAML with file and line.
 */
export function loadTopology(file: string): TopologyFile {
  const documents = readYaml(file);
  if (documents.length > 1) throw yamlError(file, 'a topology is one document');
  const document = documents[0];
  if (!document || document.value === null) throw yamlError(file, 'the topology is empty');
  return parseTopology(document);
}

export function parseTopology(document: YamlDocument): TopologyFile {
  const read = new Reader(document);
  const top = read.map([], document.value, TOP_KEYS);
  const mtu = read.integer(['mtu'], top.mtu, MTU_MIN, MTU_MAX) ?? MTU_DEFAULT;
  const ranges = readRanges(read, top.ranges);
  const flows = read.integer(['flows'], top.flows, FLOWS_MIN, FLOWS_LIMIT) ?? FLOWS_DEFAULT;
  const defaults = nodeDefaults();
  const standard = {
    proxy: read.choice(['proxy'], top.proxy, PROXIES) ?? defaults.proxy,
    attach: read.choice(['attach'], top.attach, ATTACHMENTS) ?? defaults.attach,
  };
  const nodes = readNodes(read, top.nodes, ranges, mtu, standard);
  const topology: Topology = { nodes, mtu, flows, ranges };
  if (top.timeouts !== undefined) topology.timeouts = readTimeouts(read, top.timeouts);
  const merge = read.choice(['merge'], top.merge, MERGES);
  if (merge !== undefined) topology.merge = merge;
  if (top.busyPoll !== undefined) topology.busyPoll = readBusyPoll(read, top.busyPoll);
  if (top.dns !== undefined) topology.dns = readDns(read, top.dns);
  const ingress = read.flag(['ingress'], top.ingress);
  if (ingress !== undefined) topology.ingress = ingress;
  const problem = checkTopology(topology);
  if (problem) throw read.error(problem.path, problem.message);
  return { name: read.text(['name'], top.name) ?? null, topology };
}

function readRanges(read: Reader, value: unknown): Ranges {
  const ranges = { ...RANGES_DEFAULT };
  if (value === undefined) return ranges;
  const keys = Object.keys(RANGES_DEFAULT) as (keyof Ranges)[];
  const given = read.map(['ranges'], value, keys);
  for (const key of keys) ranges[key] = read.range(['ranges', key], given[key]) ?? ranges[key];
  return ranges;
}

function readTimeouts(read: Reader, value: unknown): TimeoutSeconds {
  const given = read.map(['timeouts'], value, TIMEOUT_NAMES);
  const timeouts: TimeoutSeconds = {};
  for (const key of TIMEOUT_NAMES) {
    const at = ['timeouts', key];
    const seconds = read.integer(at, given[key], TIMEOUT_S_MIN, TIMEOUT_S_MAX);
    if (seconds !== undefined) timeouts[key] = seconds;
  }
  return timeouts;
}

/** A number of a file is us, as on the command line. */
function readBusyPoll(read: Reader, value: unknown): string {
  const text = String(value);
  if (parseBusyPoll(text) !== null) return text;
  const message = `busyPoll must be auto, off, or 1 to ${BUSY_POLL_US_MAX} microseconds`;
  throw read.error(['busyPoll'], message);
}

function readDns(read: Reader, value: unknown): DnsSettings | false {
  if (value === false) return false;
  const given = read.map(['dns'], value === true ? {} : value, ['upstream', 'pods']);
  const upstream = read.address(['dns', 'upstream'], given.upstream);
  const pods = read.choice(['dns', 'pods'], given.pods, POD_NAMES);
  return { ...(upstream !== undefined && { upstream }), ...(pods !== undefined && { pods }) };
}

function readNodes(
  read: Reader,
  value: unknown,
  ranges: Ranges,
  mtu: number,
  standard: NodeDefaults,
): TopologyNode[] {
  if (value === undefined || typeof value === 'number') {
    const count = read.integer(['nodes'], value, 1, NODES_MAX) ?? NODES_DEFAULT;
    return Array.from({ length: count }, (_, i) => defaultNode(i + 1, ranges, mtu, standard));
  }
  if (!Array.isArray(value)) throw read.error(['nodes'], 'nodes must be a count or a list');
  if (value.length < 1 || value.length > NODES_MAX) {
    throw read.error(['nodes'], `nodes must be 1 to ${NODES_MAX}`);
  }
  return value.map((node, i) =>
    readNode(read, node, i, defaultNode(i + 1, ranges, mtu, standard), standard.attach),
  );
}

function readNode(
  read: Reader,
  value: unknown,
  i: number,
  standard: TopologyNode,
  attach: Attach,
): TopologyNode {
  const at = (key: string) => ['nodes', i, key];
  const node = read.map(['nodes', i], value, NODE_KEYS);
  const proxy = read.choice(at('proxy'), node.proxy, PROXIES) ?? standard.proxy;
  const given = read.choice(at('attach'), node.attach, ATTACHMENTS);
  return {
    name: read.text(at('name'), node.name) ?? standard.name,
    zone: read.text(at('zone'), node.zone) ?? standard.zone,
    mtu: read.integer(at('mtu'), node.mtu, MTU_MIN, MTU_MAX) ?? standard.mtu,
    address: read.address(at('address'), node.address) ?? standard.address,
    publicAddress: read.address(at('publicAddress'), node.publicAddress) ?? standard.publicAddress,
    podCIDR: read.range(at('podCIDR'), node.podCIDR) ?? standard.podCIDR,
    labels: readLabels(read, at('labels'), node.labels),
    proxy,
    attach: given ?? attachOf(proxy, attach),
  };
}

function readLabels(read: Reader, path: YamlPath, value: unknown): Record<string, string> {
  const labels: Record<string, string> = {};
  if (value === undefined) return labels;
  for (const [key, label] of Object.entries(read.map(path, value, null))) {
    labels[key] = read.text([...path, key], label) ?? '';
  }
  return labels;
}

/** Reads typed values of a document. Errors name the file and the line. */
class Reader {
  readonly #document: YamlDocument;

  constructor(document: YamlDocument) {
    this.#document = document;
  }

  error(path: YamlPath, message: string): KubetunError {
    return yamlError(this.#document.locate(path), message);
  }

  /** A map with these keys only. Null allows any key. */
  map(path: YamlPath, value: unknown, keys: readonly string[] | null): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.error(path, `${name(path)} must be a map`);
    }
    const unknown = keys === null ? undefined : Object.keys(value).find((k) => !keys.includes(k));
    if (unknown !== undefined) {
      const known = keys?.join(', ');
      throw this.error([...path, unknown], `unknown field ${unknown} (known here: ${known})`);
    }
    return value as Record<string, unknown>;
  }

  text(path: YamlPath, value: unknown): string | undefined {
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '') {
      throw this.error(path, `${name(path)} must be a non-empty string`);
    }
    return value;
  }

  /** One of these words. */
  choice<T extends string>(path: YamlPath, value: unknown, of: readonly T[]): T | undefined {
    if (value === undefined || of.includes(value as T)) return value as T | undefined;
    throw this.error(path, `${name(path)} must be one of ${of.join(', ')}`);
  }

  flag(path: YamlPath, value: unknown): boolean | undefined {
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.error(path, `${name(path)} must be true or false`);
  }

  integer(path: YamlPath, value: unknown, min: number, max: number): number | undefined {
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw this.error(path, `${name(path)} must be a whole number from ${min} to ${max}`);
    }
    return value as number;
  }

  address(path: YamlPath, value: unknown): string | undefined {
    const text = this.text(path, value);
    if (text !== undefined && parseAddress(text) === null) {
      throw this.error(path, `${name(path)} must be an IPv4 address, not ${text}`);
    }
    return text;
  }

  /** A range. Host bits must be zero, so that its extent is clear. */
  range(path: YamlPath, value: unknown): string | undefined {
    const text = this.text(path, value);
    if (text === undefined) return undefined;
    const range = parseRange(text);
    if (!range) throw this.error(path, `${name(path)} must be a range such as 10.244.0.0/16`);
    const clean = `${formatAddress(range.address)}/${text.split('/')[1]}`;
    if (clean !== text)
      throw this.error(path, `${name(path)} ${text} has host bits: expected ${clean}`);
    return text;
  }
}

function name(path: YamlPath): string {
  return path.length === 0 ? 'the topology' : path.join('.').replace(/\.(\d+)\b/g, '[$1]');
}
