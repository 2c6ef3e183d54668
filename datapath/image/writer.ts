import type { Arena } from '../arena/arena.ts';
import { H_IMAGE_ACK, H_IMAGE_ROOT, H_SEED } from '../arena/layout.ts';
import { KubetunError } from '../error.ts';
import { NO_ENTRY, SeededMap } from '../map.ts';
import { encodeRules, mapPods, putPods } from '../policy/encode.ts';
import { POD_KEY, POD_SHIFT, POLICY_COUNTERS } from '../policy/layout.ts';
import type { PolicyChange } from '../policy/policy.ts';
import { finish, type Steps } from '../steps.ts';
import { encodeNode, encodeService } from './encode.ts';
import {
  FRONTEND_NODEPORT,
  type FrontendEntry,
  type ImageChange,
  type NodeEntry,
  type ServiceEntry,
} from './image.ts';
import * as L from './layout.ts';
import { type PolicySurvivors, readPolicySurvivors } from './policy-reader.ts';
import { readGeneration, readServices } from './reader.ts';

const DIRECTORY_MIN = 1024;
/**
 * Share of a half for Services. The rest is for later roots and for free slots of maps and the
 * directory.
 */
const SERVICE_SHARE = 15 / 16;
/** Words of an entry of the frontend map, its free slots included. */
const MARK_WORDS = 16;
/** Words of a pod range with its two gateways. */
const RANGE_WORDS = 48;
const ACKNOWLEDGE_TRIES_MAX = 100;
const ACKNOWLEDGE_PAUSE_MS = 1;
const NO_WORDS = new Int32Array(0);

/** A block to place, and the root word (or directory entry) that will name it. */
interface Block {
  words: Int32Array;
  /** Index into the root, or minus a Service id. */
  named: number;
}

/**
 * Publishes images into an arena; its only writer. Blocks are appended to one half of the image
 * section, and one store switches to the new root. When the half is full, all live blocks are
 * written compactly to the other half, which is free once the worker has acknowledged a generation
 * of this one.
 */
export class ImageWriter {
  /** Called after every publish, to wake the worker. */
  onPublished: () => void = () => {};
  readonly #arena: Arena;
  readonly #image: Int32Array;
  readonly #half: number;
  /** Start of the half in use, and of its free words. */
  #start: number;
  #at: number;
  #generation: number;
  /** The first generation with a root in the half in use; 0 before this writer's first publish. */
  #halfGeneration = 0;
  /** The next publish must write everything: no image is in force, or a publish failed. */
  #rewriteDue = true;
  /** Entries by id, with the generation of their last change. */
  readonly #services = new Map<number, { entry: ServiceEntry; generation: number }>();
  readonly #seed: number;
  readonly #frontends: SeededMap;
  /** Frontends per captured address, without NodePorts: they decide the address's mark. */
  readonly #captured = new Map<number, number>();
  #directory = new Int32Array(DIRECTORY_MIN);
  #node: NodeEntry | null = null;
  /** The policy part; empty if there is no NetworkPolicy. */
  #pods = new SeededMap(POD_SHIFT, 0);
  #rules: Int32Array = NO_WORDS;
  #nodeAddresses = new Set<number>();
  #locals: ReadonlySet<number> = new Set();
  /** Role gateway: node address -> public address, and back. */
  readonly #publics = new Map<number, number>();
  readonly #owners = new Map<number, number>();
  readonly #root = new Int32Array(L.ROOT_WORDS);
  readonly #survivors: Map<number, { name: string }>;
  readonly #policySurvivors: PolicySurvivors;
  /** Names of policies by id: the owners of the counters. */
  #policyNames: Map<number, string>;

  /** Continues after the arena's generation; `services()` has the ids of that image. */
  constructor(arena: Arena) {
    this.#arena = arena;
    this.#image = arena.image;
    this.#half = arena.image.length >>> 1;
    this.#seed = arena.header[H_SEED]!;
    this.#frontends = new SeededMap(L.SLOT_SHIFT, this.#seed);
    this.#survivors = readServices(arena);
    this.#generation = readGeneration(arena);
    this.#policySurvivors = readPolicySurvivors(arena);
    this.#policyNames = this.#policySurvivors.names;
    this.#root[L.ROOT_POLICY_GENERATION] = this.#policySurvivors.generation;
    const root = arena.header[H_IMAGE_ROOT]!;
    // Assume the surviving image's half is in use: the first publish rewrites into the other one.
    this.#start = root >= this.#half ? this.#half : 0;
    this.#at = this.#start;
  }

  get generation(): number {
    return this.#generation;
  }

  /** The last generation that the worker uses. */
  acknowledged(): number {
    return Atomics.load(this.#arena.header, H_IMAGE_ACK);
  }

  /** Service ids in the arena when it was attached. */
  services(): Map<number, { name: string }> {
    return this.#survivors;
  }

  /** Policies in the arena when it was attached. */
  policySurvivors(): PolicySurvivors {
    return this.#policySurvivors;
  }

  /** How many flows name this Service id. */
  flowsOf(id: number): number {
    return this.#arena.serviceFlows[id]!;
  }

  /**
   * Upper estimate of the words left for Services after the node's entry and the present policies.
   */
  roomForServices(): number {
    const node = (this.#node?.podRanges.length ?? 0) * RANGE_WORDS;
    const nodes = (this.#nodeAddresses.size + this.#owners.size) * MARK_WORDS;
    const others = node + nodes + this.#pods.words.length + this.#rules.length;
    return Math.max(0, Math.floor(this.#half * SERVICE_SHARE) - others);
  }

  /** Words used in the current half, garbage included; and the size of a half. */
  usage(): { used: number; half: number } {
    return { used: this.#at - this.#start, half: this.#half };
  }

  /** Encodes the rules of a change in steps, before a publish. */
  *encodePolicy(change: PolicyChange): Steps<void> {
    if (change.rules) change.encoded = yield* encodeRules(change.rules, this.#seed);
  }

  /**
   * Puts a change in force with the worker's next batch and returns its generation. Throws
   * KubetunError KT_IMAGE_FULL (the cluster does not fit) or KT_IMAGE_BUSY (the worker still reads
   * the other half: try again). Then the last image stays in force, and the next publish includes
   * the change.
   */
  publish(change: ImageChange): number {
    if (!this.#node && !change.node) throw new RangeError('the first publish must name the node');
    const generation = this.#generation + 1;
    this.#take(change, generation);
    const delta = this.#rewriteDue ? null : this.#deltaBlocks(change, generation);
    this.#rewriteDue = true;
    if (!delta || !this.#place(delta)) this.#rewrite(generation);
    this.#rewriteDue = false;
    this.#root[L.ROOT_GENERATION] = generation;
    const root = this.#put(this.#root);
    Atomics.store(this.#arena.header, H_IMAGE_ROOT, root);
    this.#generation = generation;
    this.onPublished();
    return generation;
  }

  /** Applies a change to the tables in ordinary memory. */
  #take(change: ImageChange, generation: number): void {
    for (const frontend of change.removeFrontends) this.#removeFrontend(frontend);
    for (const frontend of change.addFrontends) this.#addFrontend(frontend);
    for (const id of change.remove) {
      this.#services.delete(id);
      this.#directory[id] = 0;
    }
    for (const service of change.upsert) {
      this.#services.set(service.id, { entry: service, generation });
      if (service.id >= this.#directory.length) this.#growDirectory(service.id);
    }
    if (change.policy) this.#takePolicy(change.policy);
    if (change.node) this.#takeNode(change.node);
  }

  #takeNode(node: NodeEntry): void {
    const touched = new Set([...this.#nodeAddresses, ...this.#owners.keys(), ...this.#locals]);
    this.#node = node;
    this.#nodeAddresses = new Set(node.nodeAddresses);
    this.#locals = new Set(node.localAddresses);
    this.#publics.clear();
    this.#owners.clear();
    const pairs = node.gateway ?? NO_WORDS;
    for (let i = 0; i < pairs.length; i += 2) {
      this.#publics.set(pairs[i]!, pairs[i + 1]!);
      this.#owners.set(pairs[i + 1]!, pairs[i]!);
    }
    for (const address of [...this.#nodeAddresses, ...this.#owners.keys(), ...this.#locals]) {
      touched.add(address);
    }
    for (const address of touched) this.#mark(address);
  }

  #takePolicy({ generation, active, pods, podChanges, rules, encoded }: PolicyChange): void {
    this.#root[L.ROOT_POLICY_GENERATION] = generation;
    if (pods) this.#pods = mapPods(pods, this.#seed);
    else if (podChanges) {
      for (const address of podChanges.gone) this.#pods.delete(address, POD_KEY);
      putPods(this.#pods, podChanges.put);
    }
    if (rules) this.#rules = encoded ?? finish(encodeRules(rules, this.#seed));
    if (rules || !active) this.#namePolicies(rules?.names ?? []);
    if (active) return;
    this.#pods = new SeededMap(POD_SHIFT, this.#seed);
    this.#rules = NO_WORDS;
    this.#root.fill(0, L.ROOT_POLICY_PODS, L.ROOT_POLICY_RULES + 1);
  }

  /** Counters of a new policy start at zero, even if its id was used before. */
  #namePolicies(names: { id: number; name: string }[]): void {
    const before = this.#policyNames;
    this.#policyNames = new Map(names.map(({ id, name }) => [id, name]));
    for (const [id, name] of this.#policyNames) {
      if (before.get(id) === name) continue;
      this.#arena.policies.fill(0, id * POLICY_COUNTERS, (id + 1) * POLICY_COUNTERS);
    }
  }

  /** Sets or removes the mark of an address in the frontend map. */
  #mark(address: number): void {
    const owner = this.#owners.get(address);
    if (this.#nodeAddresses.has(address)) {
      this.#setFrontend(address, L.MARK_KEY, this.#publics.get(address) ?? 0, L.MARK_NODE);
    } else if (owner !== undefined) this.#setFrontend(address, L.MARK_KEY, owner, L.MARK_PUBLIC);
    else if (this.#captured.has(address))
      this.#setFrontend(address, L.MARK_KEY, 0, L.MARK_ALLOCATED);
    else if (this.#locals.has(address)) this.#setFrontend(address, L.MARK_KEY, 0, L.MARK_LOCAL);
    else this.#frontends.delete(address, L.MARK_KEY);
  }

  /**
   * Leaves out an entry without room near its home slot. Only keys chosen with the seed cause that.
   */
  #setFrontend(address: number, key: number, service: number, kind: number): void {
    const at = this.#frontends.put(address, key);
    if (at === NO_ENTRY) return;
    this.#frontends.words[at + L.SLOT_SERVICE] = service;
    this.#frontends.words[at + L.SLOT_KIND] = kind;
  }

  #growDirectory(id: number): void {
    const larger = new Int32Array(2 ** Math.ceil(Math.log2(id + 1)));
    larger.set(this.#directory);
    this.#directory = larger;
  }

  #addFrontend(f: FrontendEntry): void {
    this.#setFrontend(f.address, (f.port << 8) | f.proto, f.serviceId, f.kind + 1);
    if (f.kind === FRONTEND_NODEPORT) return;
    const count = (this.#captured.get(f.address) ?? 0) + 1;
    this.#captured.set(f.address, count);
    if (count === 1) this.#mark(f.address);
  }

  #removeFrontend(f: FrontendEntry): void {
    this.#frontends.delete(f.address, (f.port << 8) | f.proto);
    if (f.kind === FRONTEND_NODEPORT) return;
    const count = (this.#captured.get(f.address) ?? 0) - 1;
    if (count > 0) this.#captured.set(f.address, count);
    else {
      this.#captured.delete(f.address);
      this.#mark(f.address);
    }
  }

  #deltaBlocks(change: ImageChange, generation: number): Block[] {
    const blocks: Block[] = change.upsert.map((s) => ({
      words: encodeService(s, generation),
      named: -s.id,
    }));
    if (change.node)
      blocks.push({ words: encodeNode(change.node, this.#seed), named: L.ROOT_NODE });
    const frontends = change.addFrontends.length + change.removeFrontends.length > 0;
    if (frontends || change.node) blocks.push(this.#frontendBlock());
    if (change.upsert.length + change.remove.length > 0) blocks.push(this.#directoryBlock());
    const { policy } = change;
    if (policy) {
      const isPods = policy.pods !== null || policy.podChanges !== undefined;
      blocks.push(...this.#policyBlocks(isPods, policy.rules !== null));
    }
    return blocks;
  }

  #policyBlocks(pods: boolean, rules: boolean): Block[] {
    const blocks: Block[] = [];
    if (this.#rules.length === 0) return blocks;
    if (pods) blocks.push({ words: this.#pods.words, named: L.ROOT_POLICY_PODS });
    if (rules) blocks.push({ words: this.#rules, named: L.ROOT_POLICY_RULES });
    return blocks;
  }

  #frontendBlock(): Block {
    return { words: this.#frontends.words, named: L.ROOT_FRONTENDS };
  }

  #directoryBlock(): Block {
    return { words: this.#directory, named: L.ROOT_DIRECTORY };
  }

  /**
   * Copies blocks in order into the half in use; false, with nothing written, if they and a root do
   * not fit.
   */
  #place(blocks: Block[]): boolean {
    let need = L.ROOT_WORDS;
    for (const block of blocks) need += block.words.length;
    if (this.#at + need > this.#start + this.#half) return false;
    for (const { words, named } of blocks) {
      const at = this.#put(words);
      if (named < 0) this.#directory[-named] = at;
      else this.#root[named] = at;
    }
    this.#root[L.ROOT_DIRECTORY_LENGTH] = this.#directory.length;
    return true;
  }

  #put(words: Int32Array): number {
    const at = this.#at;
    this.#image.set(words, at);
    this.#at += words.length;
    return at;
  }

  /** Writes every live block to the other half and continues there. */
  #rewrite(generation: number): void {
    this.#awaitOtherHalf();
    this.#start = this.#start === 0 ? this.#half : 0;
    this.#at = Math.max(this.#start, 1); // Word 0 is no block.
    const blocks: Block[] = [];
    for (const { entry, generation: changed } of this.#services.values()) {
      blocks.push({ words: encodeService(entry, changed), named: -entry.id });
    }
    blocks.push({ words: encodeNode(this.#node!, this.#seed), named: L.ROOT_NODE });
    blocks.push(this.#frontendBlock(), this.#directoryBlock());
    blocks.push(...this.#policyBlocks(true, true));
    if (this.#place(blocks)) {
      this.#halfGeneration = generation;
      return;
    }
    // Keep the half in force: no root points into the other one.
    this.#start = this.#start === 0 ? this.#half : 0;
    this.#at = this.#start + this.#half;
    throw new KubetunError(
      'KT_IMAGE_FULL',
      `the image (${this.#half * 4} bytes) is full with ${this.#services.size} Service ports`,
      'remove Services or policies: the image has a fixed size',
    );
  }

  /** The other half is free once the worker reads this one, or before the first publish. */
  #awaitOtherHalf(): void {
    if (this.#halfGeneration === 0) return;
    for (let tries = 0; tries < ACKNOWLEDGE_TRIES_MAX; tries++) {
      if (this.acknowledged() >= this.#halfGeneration) return;
      this.onPublished();
      Atomics.wait(PAUSE, 0, 0, ACKNOWLEDGE_PAUSE_MS);
    }
    throw new KubetunError(
      'KT_IMAGE_BUSY',
      'the datapath still uses an earlier image',
      'wait: the agent publishes again by itself',
    );
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
