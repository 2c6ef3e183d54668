import {
  FRONTEND_KINDS,
  PROTO_SCTP,
  PROTO_TCP,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
} from '../../datapath/nat/image.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import type { Compiler } from '../compile/compiler.ts';

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
  /** The image generation that last changed it. */
  generation: number;
}

/** Everything that a compiler has in force, in the order of names. */
export function describeServices(compiler: Compiler): ServiceDescription[] {
  return compiler.ports().map((port) => {
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
    };
  });
}

function formatPairs(pairs: Int32Array): string[] {
  const texts: string[] = [];
  for (let i = 0; i < pairs.length; i += 2)
    texts.push(`${formatAddress(pairs[i]!)}:${pairs[i + 1]}`);
  return texts;
}
