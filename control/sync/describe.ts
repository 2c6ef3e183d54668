import {
  FRONTEND_KINDS,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../../datapath/image/image.ts';
import { formatEnd, formatEnds } from '../../datapath/wire/address.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';
import type { Compiler, CurrentPort, Refusal } from '../compile/compiler.ts';
import { serviceKeyOf } from '../model/parse.ts';
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
  /** Endpoints for clients inside the cluster, from this node. */
  eligible: string[];
  /** Image generation of the last change; 0 if it is not served. */
  generation: number;
  /** Why the Service is not served, or only in part. */
  refused: string[];
}

/** The parts of a publisher that a description needs. */
type Described = Pick<Publisher, 'compiler' | 'refusals'>;

/** All Service ports in force, sorted by name, then the Services that are refused. */
export function describeServices(node: Described): ServiceDescription[] {
  const { compiler } = node;
  const refused = refusedOf(node, 'Service');
  const served = compiler
    .ports()
    .map((port) => describePort(compiler, port, refused.get(serviceKeyOf(port.name)) ?? []));
  const keys = new Set(served.map(({ service }) => serviceKeyOf(service)));
  const others = [...refused].filter(([key]) => !keys.has(key));
  return [...served, ...others.map(([key, reasons]) => describeRefused(key, reasons))];
}

/** Refused objects of a kind: `NS/NAME` -> reasons. */
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
  const { name: service, flags, affinityS, generation } = port;
  const policyOf = (flag: number) => ((flags & flag) === 0 ? 'Cluster' : 'Local');
  const internalPolicy = policyOf(SERVICE_FLAG_INTERNAL_LOCAL);
  return {
    ...{ service, proto: protoName(port.proto) },
    frontends: compiler.frontendsOf(port).map((f) => ({
      address: formatEnd(f.address, f.port),
      kind: FRONTEND_KINDS[f.kind]!,
    })),
    ...{ internalPolicy, externalPolicy: policyOf(SERVICE_FLAG_EXTERNAL_LOCAL), affinityS },
    eligible: formatEnds(internalPolicy === 'Local' ? port.local : port.cluster),
    ...{ generation, refused },
  };
}

function describeRefused(service: string, refused: string[]): ServiceDescription {
  return {
    ...{ service, proto: '-', frontends: [], internalPolicy: 'Cluster', externalPolicy: 'Cluster' },
    ...{ affinityS: 0, eligible: [], generation: 0, refused },
  };
}
