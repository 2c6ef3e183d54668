// Backends: what a Service port is for HAProxy.
import { createHash } from 'node:crypto';
import { formatAddress } from '../../datapath/wire/address.ts';
import { PROTO_TCP } from '../../datapath/wire/ipv4.ts';
import type { EndpointSlice, Service } from '../kube/kinds.ts';
import { eligibleCluster, endpointsOf } from '../model/eligible.ts';
import { objectKey } from '../model/parse.ts';
import { readSlice } from '../model/slice.ts';
import type { Backend, BackendRef, Server, Settings } from './model.ts';
import { asksH2, mergeSettings, type Report, readSettings } from './settings.ts';

const LABEL_SERVICE = 'kubernetes.io/service-name';
const H2C = new Set(['kubernetes.io/h2c', 'h2c', 'http2', 'grpc']);
const H2C_PORT = /^(?:grpc|h2c|http2)(?:-.*)?$/;
const HTTPS = new Set(['https', 'kubernetes.io/wss']);
const NAME = /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/;
const DNS_NAME =
  /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\.?$/;
const HASH_CHARS = 8;
/** Endpoints do not depend on where HAProxy runs. */
const ANYWHERE = { nodeName: '', zone: '' };
/** First octets of addresses that are HAProxy's own: 0/8 and 127/8. */
const OWN_NETS = [0, 127];

type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];
type Wanted = Pick<ServicePort, 'name' | 'port' | 'appProtocol'>;

export class BackendTable {
  readonly #services: Map<string, Service>;
  readonly #slices: Map<string, EndpointSlice[]>;
  readonly #found = new Map<string, Backend>();

  constructor(services: readonly Service[], slices: readonly EndpointSlice[]) {
    this.#services = new Map(services.map((object) => [objectKey(object.metadata), object]));
    this.#slices = Map.groupBy(slices, ({ metadata }) =>
      objectKey({ ...metadata, name: metadata?.labels?.[LABEL_SERVICE] ?? '' }),
    );
  }

  /** Sorted by id. */
  get backends(): Backend[] {
    return [...this.#found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /**
   * The id of the backend for a Service port. Null if there is no such Service or port, which
   * `report` gets.
   *
   * @param field the place of the reference, such as `spec.defaultBackend.service`.
   */
  resolve(
    ref: BackendRef,
    settings: Partial<Settings>,
    isH2: boolean,
    field: string,
    report: Report,
  ): string | null {
    const key = `${ref.namespace}/${ref.name}`;
    const service = this.#services.get(key);
    if (!service || !NAME.test(ref.name) || !NAME.test(ref.namespace)) {
      const why = `${field}.name is ${JSON.stringify(ref.name)}`;
      const next = 'create it or correct the name';
      report('ServiceMissing', `${why}: no such Service in namespace ${ref.namespace}; ${next}`);
      return null;
    }
    const port = portOf(service, ref.port);
    if (typeof port === 'string') {
      report('PortMissing', `${field}.port is ${JSON.stringify(ref.port)}: ${port}`);
      return null;
    }
    const { metadata, spec } = service;
    const annotations = metadata?.annotations;
    const own = readSettings(annotations, `Service ${key}`, report);
    const all = mergeSettings(settings, own);
    if (HTTPS.has(port.appProtocol ?? '')) {
      const why = `${field} is a port with appProtocol ${port.appProtocol}`;
      report('ProtocolUnknown', `${why}: it is served by plain HTTP; give it an HTTP port`);
    }
    const protocol = isH2 || asksH2(annotations) || isH2c(port) ? 'h2c' : 'http';
    const id = idOf(key, port.port, all, protocol !== (isH2c(port) ? 'h2c' : 'http'));
    if (this.#found.has(id)) return id;
    const isExternal = spec?.type === 'ExternalName';
    const servers = isExternal
      ? external(spec?.externalName ?? '', port.port, field, report)
      : this.#serversOf(key, port);
    const row = { id, service: key, port: port.port, protocol, isExternal, servers, ...all };
    this.#found.set(id, row as Backend);
    return id;
  }

  #serversOf(key: string, { name = '', port }: Wanted): Server[] {
    const slices = (this.#slices.get(key) ?? []).map(readSlice);
    const all = endpointsOf({ name, number: port, proto: PROTO_TCP, nodePort: 0 }, slices);
    return eligibleCluster(all, ANYWHERE)
      .filter(({ row }) => !OWN_NETS.includes(row.address >>> 24))
      .map((endpoint) => {
        const address = formatAddress(endpoint.row.address);
        return { name: `${address}-${endpoint.port}`, address, port: endpoint.port };
      });
  }
}

function isH2c({ name = '', appProtocol }: Wanted): boolean {
  return appProtocol === undefined ? H2C_PORT.test(name) : H2C.has(appProtocol);
}

/** What was expected, and the next step, for a port that is not there. */
function portOf({ spec }: Service, wanted: number | string): Wanted | string {
  const ports = spec?.ports ?? [];
  const found = ports.filter(({ name, port }) => wanted === port || (wanted && wanted === name));
  const usable = found.find(({ protocol }) => (protocol ?? 'TCP') === 'TCP');
  if (usable) return usable;
  if (found.length > 0) return `it has protocol ${found[0]!.protocol}, expected TCP`;
  // A Service that is an alias needs no ports.
  if (spec?.type === 'ExternalName' && ports.length === 0 && typeof wanted === 'number') {
    return { port: wanted };
  }
  const known = ports.map(({ name, port }) => (name ? `${name} (${port})` : `${port}`));
  return `expected a port of the Service: ${known.join(', ') || 'it has no ports'}; correct it`;
}

function external(name: string, port: number, field: string, report: Report): Server[] {
  const host = name.toLowerCase();
  if (DNS_NAME.test(host) && !/^[\d.]+$/.test(host)) {
    return [{ name: 'external', address: host.replace(/\.$/, ''), port }];
  }
  const why = `${field} has externalName ${JSON.stringify(name)}: expected a DNS name`;
  report('ExternalNameInvalid', `${why}; for an address use a Service without selector`);
  return [];
}

/** `NAMESPACE_SERVICE_PORT` alone unless settings differ from what the Service itself asks. */
function idOf(key: string, port: number, settings: Settings, isForced: boolean): string {
  const plain = `${key.replace('/', '_')}_${port}`;
  const text = JSON.stringify([settings, isForced]);
  if (text === JSON.stringify([mergeSettings(), false])) return plain;
  return `${plain}_${createHash('sha256').update(text).digest('hex').slice(0, HASH_CHARS)}`;
}
