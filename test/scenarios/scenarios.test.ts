// Rows of YAML files through compile and pipeline. A row is `rule | what | FROM -> TO | outcome`: the rule's id in
// rows.ts; `TO` is ADDRESS:PORT/PROTOCOL, or ADDRESS/icmp. The outcome is `reject`, `drop REASON`, or every place where
// connections may go; `*` marks those that see the node's address and one of its masquerade ports as the client. Each
// row is walked with many source ports: all places must be seen and no others; after `one of`, one of them alone.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { SNAT_PORT_MAX, SNAT_PORT_MIN } from '../../control/compile/node-entry.ts';
import type { Tuple } from '../../datapath/observe/packet.ts';
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../datapath/wire/layout.ts';
import { type Manifest, NodeWorld } from './world.ts';

interface Scenario {
  about: string;
  node: string;
  objects: Manifest[];
  rows: string[];
}

/** Chance that a place of four is not seen: four times 0.75 to the power of this, below 1e-10. */
const WALKS = 100;
const ONE_OF = /^one of /;
const FIRST_PORT = 20_000;
const PROTOCOLS: Record<string, number> = {
  tcp: PROTO_TCP,
  udp: PROTO_UDP,
  sctp: PROTO_SCTP,
  icmp: PROTO_ICMP,
};

const folder = import.meta.dirname;
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .sort()) {
  const scenario = parse(readFileSync(join(folder, file), 'utf8')) as Scenario;
  describe(`${file}: ${scenario.about}`, () => {
    for (const row of scenario.rows) {
      const [rule, what, way = '', outcome = ''] = row.split('|').map((part) => part.trim());
      test(`${rule}: ${what}: ${way}`, () => {
        const seen = walk(scenario, way);
        const places = outcome.replace(ONE_OF, '').split(/\s+/).sort();
        if (ONE_OF.test(outcome)) assert.ok(places.includes(seen), seen);
        else assert.equal(seen, places.join(' '));
      });
    }
  });
}

/** Everything that becomes of connections from one place to another, sorted. */
function walk(scenario: Scenario, way: string): string {
  const [, from, to, port, proto] = /^([\d.]+) -> ([\d.]+)(?::(\d+))?\/(\w+)$/.exec(way)!;
  const world = new NodeWorld(scenario.node, scenario.objects, 12_345);
  const seen = new Set<string>();
  for (let i = 0; i < WALKS; i++) {
    const sent: Tuple = {
      proto: PROTOCOLS[proto!]!,
      src: parseAddress(from!)!,
      sport: FIRST_PORT + i,
      dst: parseAddress(to!)!,
      dport: Number(port ?? 0),
    };
    const outcome = world.send(sent);
    if (typeof outcome === 'string') for (const word of outcome.split(' ')) seen.add(word);
    else seen.add(describePlace(sent, outcome, world.nodeAddress));
  }
  return [...seen].sort().join(' ');
}

function describePlace(sent: Tuple, left: Tuple, nodeAddress: string): string {
  const place = formatAddress(left.dst) + (left.proto === PROTO_ICMP ? '' : `:${left.dport}`);
  if (left.src === sent.src && left.sport === sent.sport) return place;
  assert.equal(formatAddress(left.src), nodeAddress);
  const inRange = left.sport >= SNAT_PORT_MIN && left.sport <= SNAT_PORT_MAX;
  // The identifier of an echo has no range of its own.
  assert.ok(inRange || left.proto === PROTO_ICMP, `masqueraded to port ${left.sport}`);
  return `${place}*`;
}
