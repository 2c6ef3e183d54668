import {
  FRONTEND_KINDS,
  PROTO_SCTP,
  PROTO_TCP,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../../datapath/image/image.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import type { Compiler, CurrentPort, Refusal } from '../compile/compiler.ts';
import type { Publisher } from './publisher.ts';

/** A Service port in force, as `kubetun services -o json` prints it. */
export interface ServiceDescription {
  /** `NS/NAME:PORT`. */
  service: string;
  proto: string;
  frontends: { address: string; kind: (typeof FRONTEND_KINDS)[number] }[];
  internalPolicy: 'Cluster' | 'Local';
  externalPolicy: 'Cluster' | 'Local';
  affinityS: number;
  /** What a client inside the cluster may be sent to from this node. */
  eligible: string[];
  /** The image generation that last changed it; 0 for what is not served. */
  generation: number;
  /** Why the Service is not served, or not as it is written. */
  refused: string[];
}

/** What describes a node: its compiler, and what is not in force. */
type Described = Pick<Publisher, 'compiler' | 'refusals'>;

/**
 * Everything that a node has in force, in the order of names; then Services of which nothing is.
 */
export function describeServices(node: Described): ServiceDescription[] {
  const { compiler } = node;
  const refused = refusedOf(node, 'Service');
  const served = compiler.ports().map((port) => {
    const key = port.name.slice(0, port.name.lastIndexOf(':'));
    return describePort(compiler, port, refused.get(key) ?? []);
  });
  const keys = new Set(served.map(({ service }) => service.slice(0, service.lastIndexOf(':'))));
  const others = [...refused].filter(([key]) => !keys.has(key));
  return [...served, ...others.map(([key, reasons]) => describeRefused(key, reasons))];
}

/** Objects of a kind that a node refuses, by `NS/NAME`, with the reasons. */
export function refusedOf(
  node: Pick<Publisher, 'refusals'>,
  kind: Refusal['kind'],
): Map<string, string[]> {
  const refused = new Map<string, string[]>();
  for (const { key, message } of node.refusals().filter((refusal) => refusal.kind === kind)) {
    refused.set(key, [...(refused.get(key) ?? []), message]);
  }
  return refused;
}

function describePort(
  compiler: Compiler,
  port: CurrentPort,
  refused: string[],
): ServiceDescription {
  const internalLocal = (port.flags & SERVICE_FLAG_INTERNAL_LOCAL) !== 0;
  const externalLocal = (port.flags & SERVICE_FLAG_EXTERNAL_LOCAL) !== 0;
  return {
    service: port.name,
    proto: port.proto === PROTO_TCP ? 'tcp' : port.proto === PROTO_SCTP ? 'sctp' : 'udp',
    frontends: compiler.frontendsOf(port).map((f) => ({
      address: `${formatAddress(f.address)}:${f.port}`,
      kind: FRONTEND_KINDS[f.kind]!,
    })),
    internalPolicy: internalLocal ? 'Local' : 'Cluster',
    externalPolicy: externalLocal ? 'Local' : 'Cluster',
    affinityS: port.affinityS,
    eligible: formatPairs(internalLocal ? port.local : port.cluster),
    generation: port.generation,
    refused,
  };
}

function describeRefused(service: string, refused: string[]): ServiceDescription {
  return {
    ...{ service, proto: '-', frontends: [], internalPolicy: 'Cluster', externalPolicy: 'Cluster' },
    ...{ affinityS: 0, eligible: [], generation: 0, refused },
  };
}

function formatPairs(pairs: Int32Array): string[] {
  const texts: string[] = [];
  for (let i = 0; i < pairs.length; i += 2)
    texts.push(`${formatAddress(pairs[i]!)}:${pairs[i + 1]}`);
  return texts;
}
