// Parses a question into a tuple and the node where the packet starts.
import type { Tuple } from '../../datapath/observe/packet.ts';
import { formatAddress, formatEnd, parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_ICMP } from '../../datapath/wire/ipv4.ts';
import { closest } from './closest.ts';
import { noKind, podTrouble } from './missing.ts';
import { keyOf, readTarget, refuse } from './target.ts';
import type { ClusterView } from './view.ts';

/** A question as text, from the command line or a batch. */
export interface QuestionText {
  /** `[NS/]POD`, `node/NAME`, `internet`, or an address. */
  from: string;
  /**
   * `ADDRESS:PORT[/PROTO]`, `ADDRESS/icmp`, the same with a DNS name, `svc/[NS/]NAME[:PORT]`, or a
   * URL.
   */
  to: string;
  sport?: number | undefined;
  /** Examines this node only, as if the packet arrived there. */
  node?: string | undefined;
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

/** A host outside, for `--from internet`: the one that a lab has. */
const INTERNET = 'internet';
const INTERNET_ADDRESS = '203.0.113.10';
const PORT_FIRST = 33_000;
const NODES_TOLD_MAX = 10;

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
  const sender = view.pod(podOfSource(text.from, view));
  const to = readTarget(text.to, view, sender?.key.split('/')[0] ?? 'default');
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
    throw refuseNode(`there is no node ${node}`, view);
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

/** True for a source that is no pod and no node. */
export function isOutside(from: string, view: ClusterView): boolean {
  const address = parseAddress(from);
  if (address !== null) return view.nodeOf(address) === null;
  return from === INTERNET && view.pod(keyOf(from)) === undefined;
}

function readSource(text: string, view: ClusterView): { address: number; node: string | null } {
  const isInternet = text === INTERNET && isOutside(text, view);
  const address = parseAddress(isInternet ? INTERNET_ADDRESS : text);
  if (address !== null) return { address, node: view.nodeOf(address) };
  const name = /^nodes?\/(.+)$/.exec(text)?.[1];
  if (name !== undefined) {
    const own = view.nodes.get(name)?.addresses[0];
    if (own !== undefined) return { address: own, node: name };
    throw refuseNode(`there is no node ${name} with an address`, view);
  }
  const key = keyOf(text.replace(/^pods?\//, ''));
  const pod = view.pod(key);
  if (pod) return { address: pod.address, node: pod.node || null };
  const trouble = podTrouble(key, view.objects);
  if (trouble !== null) throw refuse(...trouble);
  throw refuse(`there is no pod ${key} with an address`, sourceHint(text, view));
}

/** A hint for the key of a pod with a typing mistake; null if none is near. */
export function nearestPod(key: string, keys: string[]): string | null {
  const [namespace, name = ''] = key.split('/');
  const own = keys.map((each) => each.split('/')).filter(([place]) => place === namespace);
  const likely = closest(
    name,
    own.map(([, each]) => each!),
  );
  return likely && `did you mean ${namespace}/${likely}?`;
}

/** The form of `--from` for a place of a lab that is not a pod. */
function sourceHint(text: string, view: ClusterView): string {
  if (view.nodes.has(text)) return `the node is called node/${text}`;
  const likely = nearestPod(keyOf(text), view.podKeys);
  if (likely !== null) return likely;
  return 'give --from as [NS/]POD, node/NAME, internet or an address';
}

function refuseNode(message: string, view: ClusterView) {
  return refuse(...(noKind('Node', view.objects) ?? [message, nodesText(view)]));
}

/** Names of the nodes, or of the first of them. */
function nodesText({ nodes }: ClusterView): string {
  const names = [...nodes.keys()].slice(0, NODES_TOLD_MAX);
  return `the nodes are ${names.join(', ')}${nodes.size > names.length ? ', and others' : ''}`;
}

/** `ADDRESS:PORT`, or the address alone for ICMP. */
export function endText(address: number, port: number, proto: number): string {
  return proto === PROTO_ICMP ? formatAddress(address) : formatEnd(address, port);
}
