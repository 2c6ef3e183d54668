import type { Arena } from '../arena/arena.ts';
import { H_IMAGE_ACK, H_IMAGE_ROOT } from '../arena/layout.ts';
// biome-ignore format: a list.
import {
  MARK_KEY, MARK_LOCAL, MARK_PUBLIC, NODE_ADDRESS, NODE_GATEWAY, NODE_HEADER_WORDS,
  NODE_LENGTH_COUNT, NODE_SERVICE_ADDRESS, NODE_SERVICE_MASK, NODE_SNAT_COUNT, NODE_SNAT_MIN,
  POD_GATEWAY_KEY, ROOT_DIRECTORY, ROOT_DIRECTORY_LENGTH, ROOT_FRONTENDS, ROOT_GENERATION,
  ROOT_NODE, ROOT_POLICY_GENERATION, ROOT_POLICY_PODS, ROOT_POLICY_RULES, SERVICE_CLUSTER_COUNT,
  SERVICE_HEADER_WORDS, SERVICE_LOCAL_COUNT, SERVICE_SERVING_COUNT, SLOT_KIND, SLOT_SERVICE,
} from '../image/layout.ts';
import { findPair } from '../image/pairs.ts';
import { findEntry, NO_ENTRY } from '../map.ts';
import { PolicyMap } from '../policy/policy-map.ts';
import type { Address } from '../wire/address.ts';

export const NO_SLOT = NO_ENTRY;

/** The image in force as the hot path reads it: the root's words, read once per batch. */
export class ServiceMap {
  readonly words: Int32Array;
  /** The policy part of the same image. */
  readonly policy: PolicyMap;
  readonly #header: Int32Array;
  #root = 0;
  generation = 0;
  nodeAddress = 0;
  snatPortMin = 0;
  snatPortCount = 0;
  /** True for role gateway. */
  gateway = false;
  #node = 0;
  #frontends = 0;
  #directory = 0;
  #directoryLength = 0;

  constructor(arena: Arena) {
    this.words = arena.image;
    this.policy = new PolicyMap(arena.image);
    this.#header = arena.header;
  }

  /** False until the first publish. */
  get ready(): boolean {
    return this.#root !== 0;
  }

  /**
   * Switches to the newest root and acknowledges it; called between batches. False if unchanged.
   */
  refresh(): boolean {
    const root = Atomics.load(this.#header, H_IMAGE_ROOT);
    if (root === this.#root) return false;
    const w = this.words;
    this.#root = root;
    this.generation = w[root + ROOT_GENERATION]!;
    this.#node = w[root + ROOT_NODE]!;
    this.nodeAddress = w[this.#node + NODE_ADDRESS]!;
    this.snatPortMin = w[this.#node + NODE_SNAT_MIN]!;
    this.snatPortCount = w[this.#node + NODE_SNAT_COUNT]!;
    this.gateway = w[this.#node + NODE_GATEWAY] === 1;
    this.#frontends = w[root + ROOT_FRONTENDS]!;
    this.#directory = w[root + ROOT_DIRECTORY]!;
    this.#directoryLength = w[root + ROOT_DIRECTORY_LENGTH]!;
    this.policy.refresh(
      w[root + ROOT_POLICY_GENERATION]!,
      w[root + ROOT_POLICY_RULES]!,
      w[root + ROOT_POLICY_PODS]!,
    );
    Atomics.store(this.#header, H_IMAGE_ACK, this.generation);
    return true;
  }

  /** Word offset of the frontend's slot, or NO_SLOT. */
  findFrontend(address: Address, portProto: number): number {
    return findEntry(this.words, this.#frontends, address, portProto);
  }

  /** MARK_* of an address, 0 for an unknown one. */
  markOf(address: Address): number {
    const at = this.findFrontend(address, MARK_KEY);
    return at === NO_SLOT ? 0 : this.words[at + SLOT_KIND]!;
  }

  /**
   * On a gateway: the public address of a node (MARK_NODE) or the node of a public one
   * (MARK_PUBLIC); 0 for none.
   */
  counterpartOf(address: Address, mark: number): number {
    const at = this.findFrontend(address, MARK_KEY);
    const w = this.words;
    return at !== NO_SLOT && w[at + SLOT_KIND] === mark ? w[at + SLOT_SERVICE]! : 0;
  }

  /** True for an address of this node or gateway. */
  isOwn(address: Address): boolean {
    const { nodeAddress } = this;
    if (address === nodeAddress) return true;
    if (!this.gateway) return (this.markOf(address) & MARK_LOCAL) !== 0;
    // Explain may not know the gateway's address, which is 0 then.
    return nodeAddress !== 0 && this.counterpartOf(address, MARK_PUBLIC) === nodeAddress;
  }

  /** Word offset of a Service port's block, 0 if it is gone. */
  serviceAt(id: number): number {
    return id > 0 && id < this.#directoryLength ? this.words[this.#directory + id]! : 0;
  }

  /** True if the Service port `id` has this endpoint, eligible or still serving. */
  serves(id: number, address: Address, port: number): boolean {
    const w = this.words;
    const service = this.serviceAt(id);
    if (service === 0) return false;
    const clusterCount = w[service + SERVICE_CLUSTER_COUNT]!;
    const localCount = w[service + SERVICE_LOCAL_COUNT]!;
    const servingCount = w[service + SERVICE_SERVING_COUNT]!;
    const cluster = service + SERVICE_HEADER_WORDS;
    const local = cluster + clusterCount * 2;
    const serving = local + localCount * 2;
    return (
      findPair(w, cluster, clusterCount, address, port) >= 0 ||
      findPair(w, local, localCount, address, port) >= 0 ||
      findPair(w, serving, servingCount, address, port) >= 0
    );
  }

  inServiceRange(address: Address): boolean {
    const w = this.words;
    return (address & w[this.#node + NODE_SERVICE_MASK]!) === w[this.#node + NODE_SERVICE_ADDRESS]!;
  }

  /** At most one look-up per prefix length; nearly always one. */
  inPodRange(address: Address): boolean {
    const w = this.words;
    const lengths = this.#node + NODE_HEADER_WORDS;
    const count = w[this.#node + NODE_LENGTH_COUNT]!;
    for (let n = 0; n < count; n++) {
      const length = w[lengths + n]!;
      const base = length === 0 ? 0 : address & (-1 << (32 - length));
      if (findEntry(w, lengths + count, base, length + 1) !== NO_ENTRY) return true;
    }
    return false;
  }

  /** True for an address of a pod range that a CNI may give to its node, never to a pod. */
  isPodGateway(address: Address): boolean {
    const w = this.words;
    const map = this.#node + NODE_HEADER_WORDS + w[this.#node + NODE_LENGTH_COUNT]!;
    return findEntry(w, map, address, POD_GATEWAY_KEY) !== NO_ENTRY;
  }
}
