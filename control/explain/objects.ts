// Objects from files, and the arena that an agent would make of them.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type Arena, createArena } from '../../datapath/arena/arena.ts';
import { KubetunError } from '../../datapath/error.ts';
import { ImageWriter } from '../../datapath/image/writer.ts';
import type { Range4 } from '../../datapath/wire/address.ts';
import { Compiler } from '../compile/compiler.ts';
import { IdAllocator } from '../compile/ids.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import { decodeObject } from '../kube/decode.ts';
import type {
  EndpointSlice,
  KubeKind,
  KubeKinds,
  Namespace,
  NetworkPolicy,
  Node,
  Pod,
  Service,
} from '../kube/kinds.ts';
import { readNamespace, readNetworkPolicy } from '../model/network-policy.ts';
import { readNode } from '../model/node.ts';
import { readPolicyPod } from '../model/pod.ts';
import { readService } from '../model/service.ts';
import { readSlice } from '../model/slice.ts';
import { Tables } from '../model/tables.ts';
import { PolicyCompiler } from '../policy/compiler.ts';

/** Objects that an explanation uses. */
export interface ClusterObjects {
  /** The lab that they are listed from; null for files, which may lack objects. */
  lab: string | null;
  nodes: Node[];
  pods: Pod[];
  services: Service[];
  slices: EndpointSlice[];
  namespaces: Namespace[];
  policies: NetworkPolicy[];
  ingresses: KubeKinds['Ingress'][];
  classes: KubeKinds['IngressClass'][];
  secrets: KubeKinds['Secret'][];
}

interface AnyObject {
  kind?: string;
  items?: unknown[];
  metadata?: { namespace?: string; name?: string } | null;
}

type ListName = Exclude<keyof ClusterObjects, 'lab'>;

/** Kind -> its list, and the function that reads an object. */
const LISTS = new Map<unknown, [list: ListName, read: (object: never) => unknown]>([
  ['Node', ['nodes', readNode]],
  ['Pod', ['pods', readPolicyPod]],
  ['Service', ['services', readService]],
  ['EndpointSlice', ['slices', readSlice]],
  ['Namespace', ['namespaces', readNamespace]],
  ['NetworkPolicy', ['policies', readNetworkPolicy]],
  // Their compile reports what it cannot read.
  ['Ingress', ['ingresses', () => null]],
  ['IngressClass', ['classes', () => null]],
  ['Secret', ['secrets', () => null]],
]);
const LABEL_NAMESPACE = 'kubernetes.io/metadata.name';
const FLOWS_MAX = 4096;
const IMAGE_WORDS_MIN = 1 << 18;
/** Image words for one object, on average an upper bound. A slice seldom has over 100 endpoints. */
const IMAGE_WORDS_PER_OBJECT = 512;

/**
 * Reads YAML or JSON files, and all such files in folders. Throws KubetunError KT_FILE, KT_YAML,
 * KT_OBJECT.
 */
export function readObjects(paths: string[]): ClusterObjects {
  const found = noObjects();
  for (const file of paths.flatMap(filesOf)) {
    for (const document of parseFile(file)) addObject(found, document, file);
  }
  return found;
}

export function noObjects(): ClusterObjects {
  const lists = { nodes: [], pods: [], services: [], slices: [], namespaces: [], policies: [] };
  return { lab: null, ...lists, ingresses: [], classes: [], secrets: [] };
}

/**
 * Adds an object, or the items of a list as `kubectl get -o yaml` prints it. Refuses invalid ones.
 */
function addObject(found: ClusterObjects, object: unknown, file: string): void {
  if (typeof object !== 'object' || object === null) return;
  const { kind, items, metadata } = object as AnyObject;
  if (Array.isArray(items)) {
    for (const item of items) addObject(found, item, file);
    return;
  }
  const [list, read] = LISTS.get(kind) ?? [];
  if (!list || !read) return;
  const name = metadata?.name;
  try {
    if (typeof name !== 'string' || name === '') throw new Error('it has no name');
    decodeObject(kind as KubeKind, object);
    read(object as never);
  } catch (error) {
    const what = `${kind} ${name ?? 'without a name'}`;
    const message = `${file}: ${what} cannot be read (${(error as Error).message})`;
    throw new KubetunError(
      'KT_OBJECT',
      message,
      'compare it with the output of kubectl get -o yaml',
    );
  }
  (found[list] as unknown[]).push(object);
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name));
    return names.sort().map((name) => join(path, name));
  } catch (error) {
    throw unreadable(path, error);
  }
}

function parseFile(file: string): unknown[] {
  const documents = parseAllDocuments(readText(file));
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => {
    const error = document.errors[0];
    if (error) throw yamlError(`${file}:${error.linePos?.[0].line ?? 1}`, error);
    try {
      return document.toJS();
    } catch (error) {
      throw yamlError(file, error as Error); // Too many aliases.
    }
  });
}

function yamlError(place: string, { message }: Error): KubetunError {
  return new KubetunError('KT_YAML', `${place}: ${message.split('\n')[0]}`, 'correct the file');
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(path: string, cause: unknown): KubetunError {
  const { code } = cause as NodeJS.ErrnoException;
  const message = `${path} cannot be read (${code})`;
  return new KubetunError('KT_FILE', message, 'name an existing file or folder', { cause });
}

/** Tables of an agent on a node that has received these objects. */
export function tablesOf(node: string, objects: ClusterObjects): Tables {
  const tables = new Tables(node);
  for (const object of objects.nodes) tables.putNode(readNode(object));
  for (const object of objects.services) tables.putService(readService(object));
  for (const object of objects.slices) tables.putSlice(readSlice(object), null);
  putPolicyObjects(tables, objects);
  return tables;
}

function putPolicyObjects(
  { policy }: Tables,
  { pods, namespaces, policies }: ClusterObjects,
): void {
  for (const object of policies) policy.putPolicy(readNetworkPolicy(object));
  for (const object of pods) {
    const row = readPolicyPod(object);
    if (!row) continue;
    policy.putPod(row);
    // A Namespace that the files leave out has its standard label.
    const { namespace } = row;
    policy.putNamespace({ name: namespace, labels: { [LABEL_NAMESPACE]: namespace } });
  }
  for (const object of namespaces) policy.putNamespace(readNamespace(object));
}

/** The arena of a node's datapath, without flows. Null if the Node is missing or has no address. */
export function compileArena(
  node: string,
  objects: ClusterObjects,
  serviceRange: Range4,
  seed: number,
): Arena | null {
  const { services, slices, policies: rules, pods } = objects;
  const count =
    services.length + slices.length + (rules.length > 0 ? rules.length + pods.length : 0);
  const ranges = { serviceRange, podRanges: [], ...PORT_RANGES };
  return fillArena(tablesOf(node, objects), ranges, count, seed);
}

/** The arena for these tables; null without an address. `count` is the number of objects. */
export function fillArena(
  tables: Tables,
  ranges: NodeRanges,
  count: number,
  seed: number,
): Arena | null {
  const words = IMAGE_WORDS_PER_OBJECT * count;
  const imageWords = Math.max(IMAGE_WORDS_MIN, 2 ** Math.ceil(Math.log2(words + 1)));
  const arena = createArena({ flowsMax: FLOWS_MAX, imageWords }, seed);
  const writer = new ImageWriter(arena);
  const compiler = new Compiler(tables.nodeName, ranges, new IdAllocator(new Map(), writer));
  const compiled = compiler.compile(tables, tables.takeChanges(), 1);
  if (!compiled?.change.node) return null;
  const policies = new PolicyCompiler(writer.policySurvivors());
  const policy = policies.compile(tables.policy, tables.policy.takeChanges());
  writer.publish({ ...compiled.change, policy });
  return arena;
}
