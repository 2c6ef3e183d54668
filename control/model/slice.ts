import { parseAddress } from '../../datapath/wire/address.ts';
import type { EndpointSlice } from '../kube/kinds.ts';
import { objectKey, parseProtocol } from './parse.ts';
import type { EndpointRow, PortRow, SliceRow } from './rows.ts';

const LABEL_SERVICE = 'kubernetes.io/service-name';
const NO_HINTS: readonly string[] = [];

/**
 * The row of an EndpointSlice. Conditions that are absent mean ready, serving and not terminating.
 * Source: k8s pkg/proxy/endpointslicecache.go.
 */
export function readSlice(object: EndpointSlice): SliceRow {
  const service = object.metadata?.labels?.[LABEL_SERVICE];
  const usable = service !== undefined && object.addressType === 'IPv4';
  return {
    key: objectKey(object.metadata),
    serviceKey: service === undefined ? '' : objectKey({ ...object.metadata, name: service }),
    ports: usable ? readPorts(object) : [],
    endpoints: usable ? readEndpoints(object) : [],
  };
}

function readPorts(object: EndpointSlice): PortRow[] {
  const rows: PortRow[] = [];
  for (const port of object.ports ?? []) {
    const proto = parseProtocol(port.protocol);
    // A port without a number means all ports, which no Service port can use.
    if (proto !== null && port.port) rows.push({ name: port.name ?? '', number: port.port, proto });
  }
  return rows;
}

function readEndpoints(object: EndpointSlice): EndpointRow[] {
  const rows: EndpointRow[] = [];
  for (const endpoint of object.endpoints ?? []) {
    // The addresses of one endpoint are interchangeable, so the first is enough.
    const address = parseAddress(endpoint.addresses?.[0] ?? '');
    if (address === null) continue;
    const { ready = true, serving = true, terminating = false } = endpoint.conditions ?? {};
    rows.push({
      address,
      nodeName: endpoint.nodeName ?? '',
      ...{ ready, serving, terminating },
      hintZones: endpoint.hints?.forZones?.map((hint) => hint.name) ?? NO_HINTS,
      hintNodes: endpoint.hints?.forNodes?.map((hint) => hint.name) ?? NO_HINTS,
    });
  }
  return rows;
}
