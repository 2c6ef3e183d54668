// Flows that lead where their Service does not lead any more. TCP finds out by itself; a UDP client
// with a fixed port, or one whose SYN is never answered, would go on sending to nobody. Source: k8s
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
 * True if the flow whose client line is at `at` was made for a Service that does not lead to its
 * endpoint any more, or to nobody's address that a Service has now.
 */
export function isStale(d: Datapath, at: number): boolean {
  return isStaleSince(d, at, NEVER);
}

/**
 * The same for a UDP flow, looked up once per image; a Service that has not changed since costs one
 * comparison.
 */
export function isStaleUdp(d: Datapath, at: number): boolean {
  const { generation } = d.services;
  const checked = d.lines[at | W_CHECKED]!;
  if (checked === generation) return false;
  if (isStaleSince(d, at, checked)) return true;
  d.lines[at | W_CHECKED] = generation;
  return false;
}

/** @param checked the image in which the endpoint was found to serve, or NEVER. */
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
