// Flows to an endpoint that their Service has lost. An established TCP connection ends by itself. A
// UDP client with a fixed port, or a client that repeats its SYN, would never stop. Source: k8s
// pkg/proxy/conntrack/cleanup.go.

// biome-ignore format: a list.
import {
  META_PROTO_MASK, W_CHECKED, W_DST, W_META, W_NEW_DST, W_NEW_PORTS, W_PORTS, W_SERVICE,
} from '../flow/line.ts';
import { SERVICE_GENERATION, SLOT_SERVICE } from '../image/layout.ts';
import { NO_SLOT } from '../services/service-map.ts';
import type { Datapath } from './datapath.ts';

const NEVER = -1;

/**
 * True if the Service no longer has the endpoint of the flow whose client line is at `at`, or if
 * the flow has no Service and its destination belongs to one now.
 */
export function isStale(d: Datapath, at: number): boolean {
  return isStaleSince(d, at, NEVER);
}

/** The same for a UDP flow, once per image. An unchanged Service costs one comparison. */
export function isStaleUdp(d: Datapath, at: number): boolean {
  const { generation } = d.services;
  const checked = d.lines[at | W_CHECKED]!;
  if (checked === generation) return false;
  if (isStaleSince(d, at, checked)) return true;
  d.lines[at | W_CHECKED] = generation;
  return false;
}

/** @param checked the image in which the endpoint was last found valid, or NEVER. */
function isStaleSince(d: Datapath, at: number, checked: number): boolean {
  const { lines, services } = d;
  if (!services.ready) return false;
  const proto = lines[at | W_META]! & META_PROTO_MASK;
  const service = lines[at | W_SERVICE]!;
  const portProto = ((lines[at | W_PORTS]! & 0xffff) << 8) | proto;
  const slot = services.findFrontend(lines[at | W_DST]!, portProto);
  if (slot === NO_SLOT) return service !== 0;
  if (services.words[slot + SLOT_SERVICE] !== service) return true;
  const block = services.serviceAt(service);
  if (block === 0) return true;
  if (checked !== NEVER && services.words[block + SERVICE_GENERATION]! <= checked) return false;
  return !services.serves(service, lines[at | W_NEW_DST]!, lines[at | W_NEW_PORTS]! & 0xffff);
}
