// The cost of a node in a cluster, see cluster-process.ts. Prints JSON.

import { NODE_PORT_MAX, NODE_PORT_MIN, PORT_RANGES } from '../../../control/compile/node-entry.ts';
import { planNarrowSteering } from '../../../control/node/narrow.ts';
import { planSteering, type SteeringInput } from '../../../control/node/steering.ts';
import { formatAddress, formatRange } from '../../../datapath/wire/address.ts';
import { outerRanges } from '../../../datapath/wire/ranges.ts';
import { warmUp } from '../../../datapath/worker/warm-up.ts';
import { measureHit, measureNew } from '../core/measure.ts';
import { WORLD, World } from '../core/world.ts';
import { median } from '../report.ts';
import { Cluster, type ClusterSize, newPod } from './cluster.ts';

const TIMES = 20;
const FLOWS = 1000;
const [nodes, services, endpoints, policies] = process.argv.slice(2).map(Number);
const size = { nodes, services, endpoints, policies } as ClusterSize;

warmUp();
let cluster!: Cluster;
let everythingMs = 0;
const world = new World(FLOWS, 1 << 21, (writer) => {
  cluster = new Cluster(size, writer);
  everythingMs = cluster.publish();
});

function medianOf(change: (n: number) => void): number {
  const times = Array.from({ length: TIMES }, (_, n) => {
    change(n);
    const ms = cluster.publish();
    // Takes over the new image, as the worker does between two batches.
    world.d.services.refresh();
    return ms;
  });
  return median(times);
}

const { tables } = cluster;
const input = steeringInput();
const figures = {
  wholeRules: planSteering(input).rules.length,
  narrowRules: planNarrowSteering(input).rules.length,
  everythingMs,
  endpointsMs: medianOf((n) => cluster.changeEndpoints(n % (services! - 1))),
  podMs: medianOf((n) => tables.policy.putPod(newPod(n))),
  nodeMs: medianOf((n) => cluster.putNode(nodes! + n)),
  newNs: measureNew(world),
  hitNs: measureHit(world),
};
console.log(JSON.stringify(figures));

function steeringInput(): SteeringInput {
  const podRanges = outerRanges([...tables.nodes.values()].flatMap((node) => node.podRanges));
  const own = tables.nodes.get(tables.nodeName)?.podRanges ?? [];
  const { snatPortMin, snatPortMax } = PORT_RANGES;
  return {
    ...{ tun: 'kt0', uplink: 'eth0', mtu: 1500, nodeAddress: formatAddress(WORLD.node) },
    ...{ serviceRange: formatRange(WORLD.serviceRange), podRanges: podRanges.map(formatRange) },
    ownPodRanges: own.map(formatRange),
    ...{ nodePorts: [NODE_PORT_MIN, NODE_PORT_MAX], snatPorts: [snatPortMin, snatPortMax] },
    ephemeralPorts: [32_768, 39_999],
  };
}
