// Parses a question into a tuple and the node where the packet starts.
import { KubetunError } from '../../datapath/error.ts';
import type { Tuple } from '../../datapath/observe/packet.ts';
import { formatAddress, formatEnd, parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_BY_NAME, PROTO_ICMP } from '../../datapath/wire/ipv4.ts';
import type { ClusterView } from './view.ts';

/** A question as text, from the command line or a batch. */
export interface QuestionText {
  /** `[NS/]POD`, `node/NAME`, or an address. */
  from: string;
  /**
   * `ADDRESS:PORT[/PROTO]`, `ADDRESS/icmp`, the same with a DNS name, or `svc/[NS/]NAME[:PORT]`.
   */
  to: string;
  sport?: number | undefined;
  /** Examines this node only, as if the packet arrived there. */
  node?: string | undefined;
}

/** A destination with a name that the pod has to resolve. */
export interface NameTarget {
  name: string;
  /** `:PORT`, `:PORT/PROTO` or `/icmp`. */
  rest: string;
}

export interface Question {
  tuple: Tuple;
  /** False if the source port may be chosen. */
  fixedPort: boolean;
  /** The first node on the packet's path. */
  node: string;
  /** Examine only that node. */
  only: boolean;
}

const PORT_FIRST = 33_000;
const NODES_TOLD_MAX = 10;

/** Null for an address, and for text that is not a destination. */
export function readNameTarget(to: string): NameTarget | null {
  const match = /^((?:[\w-]+\.)*[\w-]+\.?)((?::\d+(?:\/\w+)?)|\/icmp)$/.exec(to);
  // A host of digits and dots is an address.
  return match && /[^\d.]/.test(match[1]!) ? { name: match[1]!, rest: match[2]! } : null;
}

/** How names of --resolve are compared. */
export function givenKey(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** The key of the pod that `--from` names; an address is the key of its pod. */
export function podOfSource(from: string, view: ClusterView): string {
  const address = parseAddress(from);
  if (address === null) return keyOf(from.replace(/^pods?\//, ''));
  return view.podAt(address)?.key ?? from;
}

/** Throws KubetunError KT_EXPLAIN for invalid text or a missing object. */
export function readQuestion(text: QuestionText, view: ClusterView): Question {
  const to = readTarget(text.to, view);
  const source = readSource(text.from, view);
  // Packets from outside arrive at the gateway, if there is one.
  const entry = view.gateway?.name ?? view.nodeWith(to.address)?.name ?? null;
  const node = text.node ?? source.node ?? entry;
  if (node === null) {
    throw refuse(
      `the node of --from ${text.from} is unknown: its packet may arrive at any node`,
      'choose one with --node',
    );
  }
  if (!view.nodes.has(node) && node !== view.gateway?.name) {
    throw refuse(`there is no node ${node}`, nodesText(view));
  }
  const sport = text.sport ?? PORT_FIRST;
  const { proto, port: dport } = to;
  // The identifier of an echo may be 0.
  const least = proto === PROTO_ICMP ? 0 : 1;
  if (!Number.isInteger(sport) || sport < least || sport > 65_535) {
    throw refuse(`--sport ${JSON.stringify(sport)} is not a port`, `use ${least} to 65535`);
  }
  const tuple = { proto, src: source.address, sport, dst: to.address, dport };
  return { tuple, fixedPort: text.sport !== undefined, node, only: text.node !== undefined };
}

function readSource(text: string, view: ClusterView): { address: number; node: string | null } {
  const address = parseAddress(text);
  if (address !== null) return { address, node: view.nodeOf(address) };
  const name = /^nodes?\/(.+)$/.exec(text)?.[1];
  if (name !== undefined) {
    const own = view.nodes.get(name)?.addresses[0];
    if (own !== undefined) return { address: own, node: name };
    throw refuse(`there is no node ${name} with an address`, nodesText(view));
  }
  const key = keyOf(text.replace(/^pods?\//, ''));
  const pod = view.pod(key);
  if (pod) return { address: pod.address, node: pod.node || null };
  throw refuse(`there is no pod ${key} with an address`, sourceHint(text, view));
}

/** The form of `--from` for a place of a lab that is not a pod. */
function sourceHint(text: string, view: ClusterView): string {
  if (text === 'internet') return 'a host outside is given by its address: --from 203.0.113.10';
  if (view.nodes.has(text)) return `the node is called node/${text}`;
  return 'give --from as [NS/]POD, node/NAME or an address';
}

/** Names of the nodes, or of the first of them. */
function nodesText({ nodes }: ClusterView): string {
  if (nodes.size === 0) return 'the objects contain no Node';
  const names = [...nodes.keys()].slice(0, NODES_TOLD_MAX);
  return `the nodes are ${names.join(', ')}${nodes.size > names.length ? ', and others' : ''}`;
}

function readTarget(text: string, view: ClusterView) {
  const service = /^(?:svc|services?)\/([^:]+)(?::(.+))?$/.exec(text);
  if (service) return readService(keyOf(service[1]!), service[2], view);
  const match = /^([\d.]+)(?::(\d+))?(?:\/(\w+))?$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  const proto = PROTO_BY_NAME.get((match?.[3] ?? 'tcp').toLowerCase());
  const port = Number(match?.[2] ?? 0);
  const ported = proto !== PROTO_ICMP;
  if (address !== null && proto !== undefined && port < 65_536 && port > 0 === ported) {
    return { address, port, proto };
  }
  throw refuse(
    `--to ${JSON.stringify(text)} is not a destination`,
    'give ADDRESS:PORT, ADDRESS:PORT/udp (or sctp), ADDRESS/icmp, svc/[NS/]NAME[:PORT], or a ' +
      'DNS name with a port, such as web.default:80',
  );
}

function readService(key: string, wanted: string | undefined, view: ClusterView) {
  const row = view.services.get(key);
  if (!row) throw refuse(`there is no service ${key}`, 'kubectl get services -A lists them');
  const address = row.clusterAddresses[0];
  const ports = row.ports.filter(
    (p) => !wanted || p.name === wanted || String(p.number) === wanted,
  );
  if (address === undefined || row.ports.length === 0) {
    const next =
      'it is headless, of type ExternalName, or from a manifest without spec.clusterIP: name a ' +
      'pod or ADDRESS:PORT, or take the objects from a cluster';
    throw refuse(`service ${key} has no address that is captured`, next);
  }
  if (ports.length === 1 || (ports.length > 1 && wanted)) {
    return { address, port: ports[0]!.number, proto: ports[0]!.proto };
  }
  const names = row.ports.map((p) => p.name || p.number).join(', ');
  throw refuse(`service ${key} has the ports ${names}`, `choose one: svc/${key}:PORT`);
}

function keyOf(text: string): string {
  return text.includes('/') ? text : `default/${text}`;
}

function refuse(message: string, next: string): KubetunError {
  return new KubetunError('KT_EXPLAIN', message, next, { usage: true });
}

/** `ADDRESS:PORT`, or the address alone for ICMP. */
export function endText(address: number, port: number, proto: number): string {
  return proto === PROTO_ICMP ? formatAddress(address) : formatEnd(address, port);
}
