// Blocks of an image as words, ready to be copied into the arena. Pure.

import type { NodeEntry, ServiceEntry } from './image.ts';
import * as L from './image-layout.ts';

const encoder = new TextEncoder();

export function encodeNode(node: NodeEntry): Int32Array {
  const words = new Int32Array(L.NODE_HEADER_WORDS + node.podRanges.length * 2);
  words[L.NODE_ADDRESS] = node.nodeAddress;
  words[L.NODE_SERVICE_ADDRESS] = node.serviceRange.address;
  words[L.NODE_SERVICE_MASK] = node.serviceRange.mask;
  words[L.NODE_SNAT_MIN] = node.snatPortMin;
  words[L.NODE_SNAT_COUNT] = node.snatPortMax - node.snatPortMin + 1;
  words[L.NODE_POD_RANGES] = node.podRanges.length;
  words[L.NODE_GATEWAY] = node.gateway ? 1 : 0;
  node.podRanges.forEach((range, i) => {
    words[L.NODE_HEADER_WORDS + i * 2] = range.address;
    words[L.NODE_HEADER_WORDS + i * 2 + 1] = range.mask;
  });
  return words;
}

export function encodeService(service: ServiceEntry, generation: number): Int32Array {
  const name = encoder.encode(service.name);
  const { cluster, local, serving, sourceRanges } = service;
  const pairs = cluster.length + local.length + serving.length + sourceRanges.length;
  const words = new Int32Array(L.SERVICE_HEADER_WORDS + pairs + ((name.length + 3) >> 2));
  words[L.SERVICE_ID] = service.id;
  words[L.SERVICE_PROTO] = service.proto;
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
