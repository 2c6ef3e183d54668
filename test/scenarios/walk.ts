// Runs rows through compile and pipeline, without root.
import { SNAT_PORT_MAX, SNAT_PORT_MIN } from '../../control/compile/node-entry.ts';
import type { Tuple } from '../../datapath/observe/packet.ts';
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_ICMP } from '../../datapath/wire/ipv4.ts';
import { type Row, type Scenario, WALKS } from './row.ts';
import { NodeWorld } from './world.ts';

const FIRST_PORT = 20_000;

/** All results of a row's connections on the scenario's node, sorted. */
export function walk(scenario: Scenario, row: Row): string[] {
  const world = new NodeWorld(scenario.node, scenario.objects, 12_345);
  const seen = new Set<string>();
  for (let i = 0; i < WALKS; i++) {
    const sent: Tuple = {
      proto: row.proto,
      src: parseAddress(row.from)!,
      sport: FIRST_PORT + i,
      dst: parseAddress(row.to)!,
      dport: row.port,
    };
    const left = world.send(sent);
    seen.add(typeof left === 'string' ? left : describePlace(sent, left, [world.nodeAddress]));
  }
  return [...seen].sort();
}

/** The destination of a packet, with `*` for a source of a node's address and masquerade port. */
export function describePlace(sent: Tuple, left: Tuple, nodeAddresses: string[]): string {
  const echo = left.proto === PROTO_ICMP;
  const place = formatAddress(left.dst) + (echo ? '' : `:${left.dport}`);
  if (left.src === sent.src && left.sport === sent.sport) return place;
  const source = formatAddress(left.src);
  const inRange = left.sport >= SNAT_PORT_MIN && left.sport <= SNAT_PORT_MAX;
  // The identifier of an echo has no separate range.
  if (nodeAddresses.includes(source) && (inRange || echo)) return `${place}*`;
  return `${place} from ${source}:${left.sport}`;
}
