// A cluster in small, and a client that asks it: queries are made and answers are read by
// dns-packet, which shares no code with the server.
import { type DecodedPacket, decode, encode, type Answer as PacketAnswer } from 'dns-packet';
import type { Forward } from '../../../../control/dns/forwarder.ts';
import { Metrics } from '../../../../control/dns/metrics.ts';
import { addressBytes } from '../../../../control/dns/record.ts';
import { type Client, Responder } from '../../../../control/dns/responder.ts';
import { readPodRow, readServiceRow, readSliceRow } from '../../../../control/dns/rows.ts';
import type { ZoneOptions } from '../../../../control/dns/zone.ts';
import { Zone } from '../../../../control/dns/zone.ts';
import type { EndpointSlice, Service } from '../../../../control/kube/kinds.ts';

export const SERIAL = 1_499_347_823;
export const SOA = `cluster.local SOA 5 ns.dns.cluster.local hostmaster.cluster.local ${SERIAL} 7200 1800 86400 5`;

type Port = [name: string, port: number, protocol?: string];

function ports(list: Port[]) {
  return list.map(([name, port, protocol = 'TCP']) => ({ name, port, protocol }));
}

export function clusterService(key: string, addresses: string[], list: Port[]): Service {
  const [namespace, name] = key.split('/');
  const clusterIP = addresses[0];
  return {
    metadata: { namespace, name },
    spec: { clusterIP, clusterIPs: addresses, ports: ports(list) },
  };
}

export function externalService(key: string, externalName: string): Service {
  const [namespace, name] = key.split('/');
  return { metadata: { namespace, name }, spec: { type: 'ExternalName', externalName } };
}

/** An endpoint as `ADDRESS`, `ADDRESS=HOSTNAME`, or with a `!` in front if it is not ready. */
export function slice(key: string, endpoints: string[], list: Port[], part = 'a'): EndpointSlice {
  const [namespace, service] = key.split('/');
  return {
    metadata: {
      ...{ namespace, name: `${service}-${part}` },
      labels: { 'kubernetes.io/service-name': service! },
    },
    addressType: endpoints[0]?.includes(':') ? 'IPv6' : 'IPv4',
    ports: ports(list),
    endpoints: endpoints.map((text) => {
      const [address, hostname] = text.replace('!', '').split('=') as [string, string?];
      return {
        addresses: [address],
        conditions: { ready: !text.startsWith('!') },
        ...(hostname && { hostname }),
      };
    }),
  };
}

const HTTP: Port[] = [['http', 80]];
const HEADLESS = ['None'];

export const NAMESPACES = ['testns', 'kube-system', 'empty'];

/** After the tables of CoreDNS's plugin/kubernetes/handler_test.go. */
export const SERVICES: Service[] = [
  clusterService('testns/svc1', ['10.96.40.1'], HTTP),
  clusterService('testns/svcempty', ['10.96.40.2'], HTTP),
  clusterService('testns/svc6', ['1234:abcd::1'], HTTP),
  clusterService('testns/dual', ['10.96.40.3', '10::3'], HTTP),
  clusterService(
    'testns/many',
    ['10.96.40.4'],
    [
      ['http', 80],
      ['https', 443],
      ['dns', 53, 'UDP'],
      ['dns-tcp', 53],
    ],
  ),
  clusterService('testns/portless', ['10.96.40.5'], []),
  clusterService('testns/unnamed', ['10.96.40.6'], [['', 8080]]),
  clusterService('testns/hdls1', HEADLESS, HTTP),
  clusterService('testns/hdlsprtls', HEADLESS, []),
  clusterService('testns/hdlsnone', HEADLESS, HTTP),
  clusterService('testns/hdls6', HEADLESS, HTTP),
  clusterService('testns/web', HEADLESS, [['web', 80]]),
  clusterService(
    'kube-system/kube-dns',
    ['10.96.0.10'],
    [
      ['dns', 53, 'UDP'],
      ['dns-tcp', 53],
    ],
  ),
  externalService('testns/external', 'ext.interwebs.test'),
  externalService('testns/external-to-service', 'svc1.testns.svc.cluster.local.'),
  externalService('testns/external-to-nothing', 'nothing.testns.svc.cluster.local'),
  externalService('testns/external-address', '203.0.113.10'),
  externalService('testns/external-gone', 'gone.interwebs.test'),
  externalService('testns/external-down', 'down.interwebs.test'),
  externalService('testns/loop1', 'loop2.testns.svc.cluster.local'),
  externalService('testns/loop2', 'loop1.testns.svc.cluster.local'),
];

export const SLICES: EndpointSlice[] = [
  slice('testns/svc1', ['172.0.1.1=ep1a', '172.0.1.9'], HTTP),
  slice('testns/many', ['172.0.4.1'], HTTP),
  slice('testns/hdls1', ['172.0.0.2', '172.0.0.3', '172.0.0.4=dup-name', '!172.0.0.9'], HTTP),
  slice('testns/hdls1', ['172.0.0.5=dup-name', '172.0.0.2'], HTTP, 'b'),
  slice('testns/hdls1', ['5678:abcd::1', '5678:abcd::2'], HTTP, 'c'),
  slice('testns/hdlsprtls', ['172.0.0.20'], []),
  slice('testns/hdlsnone', ['!172.0.0.30'], HTTP),
  slice('testns/hdls6', ['fd00::1:0:0:7'], HTTP),
  slice('testns/web', ['172.0.2.1=web-0', '172.0.2.2=web-1', '172.0.2.3=web-2'], [['web', 80]]),
  slice(
    'kube-system/kube-dns',
    ['172.0.9.1'],
    [
      ['dns', 53, 'UDP'],
      ['dns-tcp', 53],
    ],
  ),
];

export function makeZone(change: Partial<ZoneOptions> = {}): Zone {
  const own = ['172.0.9.1'].map((text) => addressBytes(text)!);
  const clock = () => SERIAL * 1000;
  const zone = new Zone({
    ...{ domain: 'cluster.local', pods: 'insecure', ownAddresses: own, clock },
    ...change,
  });
  for (const name of NAMESPACES) zone.putNamespace(name);
  for (const service of SERVICES) zone.putService(readServiceRow(service));
  for (const object of SLICES) zone.putSlice(readSliceRow(object), null);
  const status = { phase: 'Running', podIP: '10.240.0.1', podIPs: [{ ip: '10.240.0.1' }] };
  const pod = { metadata: { namespace: 'testns', name: 'foo' }, spec: { containers: [] }, status };
  zone.putPod('testns/foo', readPodRow(pod), null);
  const ended = { ...pod, status: { ...status, phase: 'Succeeded', podIP: '10.240.0.2' } };
  zone.putPod('testns/ended', readPodRow(ended), null);
  zone.isSynced = true;
  return zone;
}

export const CLIENT: Client = { transport: 'udp', address: '10.244.1.9', port: 40_000 };

export interface Ask {
  transport?: 'udp' | 'tcp';
  /** Size that the client takes; absent for one without EDNS. */
  edns?: number;
  /** AA, RD and the like, as dns-packet has them. */
  flags?: number;
  class?: string;
}

export function makeResponder(zone: Zone, forward: Forward): Responder {
  const onFailure = () => {};
  return new Responder({
    zone,
    forward,
    onFailure,
    metrics: new Metrics('dns://:53'),
    random: () => 0,
  });
}

/** The bytes of an answer, and what dns-packet reads in them. */
export async function ask(
  responder: Responder,
  name: string,
  type: string,
  { transport = 'udp', edns, flags = 0x0100, class: klass = 'IN' }: Ask = {},
): Promise<{ bytes: Buffer; packet: DecodedPacket }> {
  const options = { name: '.', type: 'OPT', udpPayloadSize: edns, flags: 0, options: [] };
  const query = encode({
    ...{ type: 'query', id: 4711, flags },
    questions: [{ name, type: type as 'A', class: klass as 'IN' }],
    ...(edns !== undefined && { additionals: [options as unknown as PacketAnswer] }),
  });
  const bytes = await responder.respond(query, { ...CLIENT, transport });
  if (!bytes) throw new Error('there is no answer');
  return { bytes, packet: decode(bytes) };
}

/** `NAME TYPE TTL DATA` of each record but OPT, in the order of the alphabet. */
export function lines(records: PacketAnswer[] | undefined): string[] {
  return (records ?? [])
    .filter(({ type }) => type !== 'OPT')
    .map((record) => {
      const { name, type, ttl, data } = record as {
        name: string;
        type: string;
        ttl: number;
        data: unknown;
      };
      return `${name} ${type} ${ttl} ${textOf(data)}`;
    })
    .sort();
}

function textOf(data: unknown): string {
  if (Buffer.isBuffer(data)) return data.toString();
  if (Array.isArray(data)) return data.map(String).join(' ');
  if (typeof data !== 'object' || data === null) return String(data);
  const fields = data as Record<string, unknown>;
  if ('mname' in fields) {
    const { mname, rname, serial, refresh, retry, expire, minimum } = fields;
    return [mname, rname, serial, refresh, retry, expire, minimum].join(' ');
  }
  return Object.values(fields).join(' ');
}
