// ipBlocks of all rules as classes of addresses. Two prefixes are nested or disjoint, so they form
// a tree. An address belongs to the class of its longest prefix. A class stands for the set of
// rules whose blocks contain it. 30,000 addresses that only one rule names share one class.
import type { PolicyPrefix } from '../../datapath/policy/policy.ts';
import { STEP_ELEMENTS, type Steps, sortInSteps } from '../../datapath/steps.ts';
import type { BlockPeerRow, PrefixRow } from '../model/policy-rows.ts';

/** The part of a rule that is classified. */
export interface BlockRule {
  blocks: BlockPeerRow[];
}

export interface PrefixClasses<R> {
  /** `peer` is 0 if no rule applies. */
  prefixes: PolicyPrefix[];
  /** The number of classes in `classesOf` of a rule, in time linear in the rule's length. */
  sizeOf(rule: R): number;
  /** Classes that a block of a rule contains. */
  classesOf(rule: R): number[];
}

/** A class as a difference from its parent: rules that start and stop to hold. */
interface ClassNode {
  children: ClassNode[];
  /** Position in preorder, and the number of classes in its subtree, itself included. */
  order: number;
  size: number;
}

/** Nodes of the class tree at which a rule's blocks begin and end. */
interface Extent {
  from: Set<ClassNode>;
  to: Set<ClassNode>;
}

interface Edge<R> {
  prefix: PrefixRow;
  rule: R;
  /** 1 for a block, -1 for an exception. */
  by: number;
}

/** A prefix on the walk's path, its class, and the blocks and exceptions with that prefix. */
interface Step<R> {
  prefix: PrefixRow;
  node: ClassNode;
  edges: Edge<R>[];
}

/**
 * n log n in the number of blocks and exceptions.
 *
 * @param firstId the id of the first class; others follow it.
 */
export function* classifyPrefixes<R extends BlockRule>(
  rules: readonly R[],
  firstId: number,
): Steps<PrefixClasses<R> & { count: number }> {
  const edges: Edge<R>[] = [];
  for (const rule of rules) {
    for (const [n, block] of rule.blocks.entries()) {
      for (const edge of edgesOf(rule, block)) edges.push(edge);
      if (n % STEP_ELEMENTS === 0) yield;
    }
  }
  yield* sortInSteps(edges, (a, b) => byPlace(a.prefix, b.prefix));
  const walk = new Walk<R>(new Map(rules.map((rule, n) => [rule, n])));
  const placed: { prefix: PrefixRow; node: ClassNode }[] = [];
  for (let at = 0; at < edges.length; ) {
    const { prefix } = edges[at]!;
    const end = endOfRun(edges, at);
    placed.push({ prefix, node: walk.enter(prefix, edges.slice(at, end)) });
    at = end;
    if (placed.length % STEP_ELEMENTS === 0) yield;
  }
  yield;
  const byOrder = walk.number();
  const idOf = ({ order }: ClassNode) => (order === 0 ? 0 : firstId + order - 1);
  const prefixes: PolicyPrefix[] = [];
  for (const { prefix, node } of placed) {
    const { address, length } = prefix;
    if (prefixes.push({ address, length, peer: idOf(node) }) % STEP_ELEMENTS === 0) yield;
  }
  return {
    prefixes,
    count: byOrder.length - 1,
    sizeOf: (rule) => walk.sizeOf(rule),
    classesOf: (rule) => walk.ordersOf(rule).map((order) => idOf(byOrder[order]!)),
  };
}

class Walk<R> {
  readonly #root: ClassNode = { children: [], order: 0, size: 1 };
  /** The prefixes that contain the current one, shortest first. */
  readonly #path: Step<R>[] = [];
  /** How many blocks of a rule hold at the end of the path. */
  readonly #holding = new Map<R, number>();
  readonly #nodes = new Map<string, ClassNode>();
  readonly #keys = new Map<ClassNode, number>([[this.#root, 0]]);
  readonly #extents = new Map<R, Extent>();
  readonly #numbers: Map<R, number>;

  constructor(numbers: Map<R, number>) {
    this.#numbers = numbers;
  }

  /** The class of a prefix. Prefixes must be entered in sorted order. */
  enter(prefix: PrefixRow, edges: Edge<R>[]): ClassNode {
    while (this.#path.length > 0 && !contains(this.#path.at(-1)!.prefix, prefix)) this.#leave();
    const parent = this.#path.at(-1)?.node ?? this.#root;
    const before = new Map<R, number>();
    for (const { rule, by } of edges) {
      const count = this.#holding.get(rule) ?? 0;
      if (!before.has(rule)) before.set(rule, count);
      this.#holding.set(rule, count + by);
    }
    const begun: R[] = [];
    const ended: R[] = [];
    for (const [rule, count] of before) {
      const now = this.#holding.get(rule)!;
      if (count === 0 && now > 0) begun.push(rule);
      if (count > 0 && now === 0) ended.push(rule);
    }
    const node = this.#nodeOf(parent, begun, ended);
    this.#path.push({ prefix, node, edges });
    return node;
  }

  #leave(): void {
    for (const { rule, by } of this.#path.pop()!.edges) {
      this.#holding.set(rule, this.#holding.get(rule)! - by);
    }
  }

  #nodeOf(parent: ClassNode, begun: R[], ended: R[]): ClassNode {
    if (begun.length + ended.length === 0) return parent;
    const list = (rules: R[]) => rules.map((r) => this.#numbers.get(r)!).sort((a, b) => a - b);
    const key = `${this.#keys.get(parent)} ${list(begun)} ${list(ended)}`;
    const known = this.#nodes.get(key);
    if (known) return known;
    const node: ClassNode = { children: [], order: 0, size: 1 };
    parent.children.push(node);
    this.#nodes.set(key, node);
    this.#keys.set(node, this.#nodes.size);
    for (const rule of begun) this.#extentOf(rule).from.add(node);
    for (const rule of ended) this.#extentOf(rule).to.add(node);
    return node;
  }

  #extentOf(rule: R): Extent {
    const known = this.#extents.get(rule);
    if (known) return known;
    const extent = { from: new Set<ClassNode>(), to: new Set<ClassNode>() };
    this.#extents.set(rule, extent);
    return extent;
  }

  /** Numbers the classes in preorder and returns them in this order. The depth is at most 33. */
  number(): ClassNode[] {
    const byOrder: ClassNode[] = [];
    const visit = (node: ClassNode) => {
      node.order = byOrder.length;
      byOrder.push(node);
      for (const child of node.children) visit(child);
      node.size = byOrder.length - node.order;
    };
    visit(this.#root);
    return byOrder;
  }

  sizeOf(rule: R): number {
    const extent = this.#extents.get(rule);
    if (!extent) return 0;
    const sum = (nodes: Set<ClassNode>) => [...nodes].reduce((all, { size }) => all + size, 0);
    return sum(extent.from) - sum(extent.to);
  }

  /**
   * Preorder positions of the classes in which a rule holds. Starts and ends alternate on every
   * path.
   */
  ordersOf(rule: R): number[] {
    const extent = this.#extents.get(rule);
    if (!extent) return [];
    const turns: [number, number][] = [];
    for (const { order, size } of extent.from) turns.push([order, 1], [order + size, -1]);
    for (const { order, size } of extent.to) turns.push([order, -1], [order + size, 1]);
    turns.sort((a, b) => a[0] - b[0]);
    const orders: number[] = [];
    let depth = 0;
    for (const [n, [order, by]] of turns.entries()) {
      depth += by;
      const next = turns[n + 1]?.[0] ?? order;
      if (depth > 0) for (let at = order; at < next; at++) orders.push(at);
    }
    return orders;
  }
}

/** The distinct starts of a rule's blocks and of their exceptions. */
function edgesOf<R>(rule: R, { cidr, except }: BlockPeerRow): Edge<R>[] {
  if (except.some((inner) => contains(inner, cidr))) return [];
  const edges = [{ prefix: cidr, rule, by: 1 }];
  let last: PrefixRow | null = null;
  for (const prefix of [...except].sort(byPlace)) {
    const isCovered = last !== null && contains(last, prefix);
    if (isCovered || !contains(cidr, prefix)) continue;
    last = prefix;
    edges.push({ prefix, rule, by: -1 });
  }
  return edges;
}

function endOfRun<R>(edges: Edge<R>[], at: number): number {
  let end = at + 1;
  while (end < edges.length && byPlace(edges[at]!.prefix, edges[end]!.prefix) === 0) end++;
  return end;
}

/** Sorts a prefix before those that it contains. */
function byPlace(a: PrefixRow, b: PrefixRow): number {
  return (a.address >>> 0) - (b.address >>> 0) || a.length - b.length;
}

function contains(outer: PrefixRow, inner: PrefixRow): boolean {
  if (outer.length > inner.length) return false;
  return outer.length === 0 || (outer.address ^ inner.address) >>> (32 - outer.length) === 0;
}
