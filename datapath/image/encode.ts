// Encodes blocks of an image as words, ready to be copied into the arena. Pure.

import { SeededMap } from '../map.ts';
import { joinRanges, pairsOfRanges, rangesOfPairs } from '../wire/ranges.ts';
import type { NodeEntry, ServiceEntry } from './image.ts';
import * as L from './layout.ts';
import { sortPairs } from './pairs.ts';

const encoder = new TextEncoder();

/** First addresses of a pod range that many CNIs give to the node: the network, the gateway. */
const POD_GATEWAYS = 2;

export function encodeNode(node: NodeEntry, seed: number): Int32Array {
  const { podRanges } = node;
  const joined = joinRanges(podRanges);
  const map = new SeededMap(L.RANGE_SHIFT, seed, joined.length + podRanges.length * POD_GATEWAYS);
  for (const { address, mask } of joined) map.put(address, lengthOf(mask) + 1);
  for (const { address, mask } of podRanges) {
    const last = Math.min(POD_GATEWAYS - 1, ~mask >>> 0);
    for (let n = 0; n <= last; n++) map.put((address + n) | 0, L.POD_GATEWAY_KEY);
  }
  const lengths = [...new Set(joined.map(({ mask }) => lengthOf(mask)))];
  const words = new Int32Array(L.NODE_HEADER_WORDS + lengths.length + map.words.length);
  words[L.NODE_ADDRESS] = node.nodeAddress;
  words[L.NODE_SERVICE_ADDRESS] = node.serviceRange.address;
  words[L.NODE_SERVICE_MASK] = node.serviceRange.mask;
  words[L.NODE_SNAT_MIN] = node.snatPortMin;
  words[L.NODE_SNAT_COUNT] = node.snatPortMax - node.snatPortMin + 1;
  words[L.NODE_LENGTH_COUNT] = lengths.length;
  words[L.NODE_GATEWAY] = node.gateway ? 1 : 0;
  words.set(lengths, L.NODE_HEADER_WORDS);
  words.set(map.words, L.NODE_HEADER_WORDS + lengths.length);
  return words;
}

function lengthOf(mask: number): number {
  return Math.clz32(~mask);
}

export function encodeService(service: ServiceEntry, generation: number): Int32Array {
  const name = encoder.encode(service.name);
  // Hot-path searches need the order.
  const cluster = sortPairs(service.cluster);
  const local = sortPairs(service.local);
  const serving = sortPairs(service.serving);
  const sourceRanges = sortPairs(pairsOfRanges(joinRanges(rangesOfPairs(service.sourceRanges))));
  const pairs = cluster.length + local.length + serving.length + sourceRanges.length;
  const words = new Int32Array(L.SERVICE_HEADER_WORDS + pairs + ((name.length + 3) >> 2));
  words[L.SERVICE_ID] = service.id;
  words[L.SERVICE_FLAGS] = service.flags;
  words[L.SERVICE_AFFINITY_S] = service.affinityS;
  words[L.SERVICE_CLUSTER_COUNT] = cluster.length >> 1;
  words[L.SERVICE_LOCAL_COUNT] = local.length >> 1;
  words[L.SERVICE_SERVING_COUNT] = serving.length >> 1;
  words[L.SERVICE_RANGE_COUNT] = sourceRanges.length >> 1;
  words[L.SERVICE_NAME_BYTES] = name.length;
  words[L.SERVICE_GENERATION] = generation;
  let at = L.SERVICE_HEADER_WORDS;
  for (const list of [cluster, local, serving, sourceRanges]) {
    words.set(list, at);
    at += list.length;
  }
  new Uint8Array(words.buffer, at * 4).set(name);
  return words;
}
