import type { PortEndpoint } from './eligible.ts';
import type { EndpointRow, ServicePortRow, SliceRow } from './rows.ts';

/**
 * All endpoints of a Service port: the union of the Service's slices, whose ports are matched by
 * name and protocol. An endpoint that several slices name is ready if one of them says so. The
 * result is in the order of addresses and ports, whatever the order of the slices.
 */
export function endpointsOf(port: ServicePortRow, slices: Iterable<SliceRow>): PortEndpoint[] {
  const found = new Map<number, PortEndpoint>();
  for (const slice of slices) {
    for (const slicePort of slice.ports) {
      if (slicePort.name !== port.name || slicePort.proto !== port.proto) continue;
      for (const row of slice.endpoints) {
        // Exact: 32 bits of address above 16 bits of port are below 2^53.
        const key = (row.address >>> 0) * 65_536 + slicePort.number;
        const before = found.get(key);
        if (before) before.row = prefer(before.row, row);
        else found.set(key, { row, port: slicePort.number });
      }
    }
  }
  return [...found.entries()].sort((a, b) => a[0] - b[0]).map(([, endpoint]) => endpoint);
}

/** The better of two reports on one endpoint; ties are broken by content, never by arrival. */
function prefer(a: EndpointRow, b: EndpointRow): EndpointRow {
  const difference = rank(b) - rank(a);
  if (difference !== 0) return difference > 0 ? b : a;
  return JSON.stringify(a) <= JSON.stringify(b) ? a : b;
}

function rank(row: EndpointRow): number {
  if (row.ready) return 2;
  return row.serving && row.terminating ? 1 : 0;
}
