// Entry of a measuring process: `process.ts SERVICES ENDPOINTS`. A node's control plane in memory,
// from objects to an image. Each size has its own process, so that memory figures are separate.
// Prints JSON.
import { Compiler } from '../../../control/compile/compiler.ts';
import { IdAllocator } from '../../../control/compile/ids.ts';
import { SNAT_PORT_MAX, SNAT_PORT_MIN } from '../../../control/compile/node-entry.ts';
import type { EndpointSlice, Service } from '../../../control/kube/kinds.ts';
import { readService } from '../../../control/model/service.ts';
import { readSlice } from '../../../control/model/slice.ts';
import { Tables } from '../../../control/model/tables.ts';
import { createArena } from '../../../datapath/arena/arena.ts';
import { IMAGE_WORDS_DEFAULT } from '../../../datapath/arena/layout.ts';
import { ImageWriter } from '../../../datapath/image/writer.ts';
import { formatAddress, parseAddress, parseRange } from '../../../datapath/wire/address.ts';

const [services, endpoints] = process.argv.slice(2).map(Number) as [number, number];
const NODE = 'node1';
const CLUSTER_FIRST = parseAddress('10.96.1.0')!;
const POD_FIRST = parseAddress('10.128.0.1')!;
const RANGES = {
  serviceRange: parseRange('10.96.0.0/12')!,
  podRanges: [parseRange('10.128.0.0/9')!],
  ...{ snatPortMin: SNAT_PORT_MIN, snatPortMax: SNAT_PORT_MAX },
};

/** JSON text as from the server. The tables keep only the parts that they need. */
function serviceText(i: number): string {
  const clusterIP = formatAddress(CLUSTER_FIRST + i);
  const metadata = { namespace: 'default', name: `service-${i}`, labels: { app: `app-${i}` } };
  return JSON.stringify({ metadata, spec: { clusterIP, ports: [{ name: 'http', port: 80 }] } });
}

function sliceText(i: number): string {
  const labels = { 'kubernetes.io/service-name': `service-${i}` };
  const addressOf = (n: number) => formatAddress(POD_FIRST + ((i * endpoints + n) & 0x3fffff));
  return JSON.stringify({
    metadata: { namespace: 'default', name: `service-${i}-abcde`, labels },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: endpoints }, (_, n) => ({
      ...{ addresses: [addressOf(n)], nodeName: `node${n % 100}` },
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', namespace: 'default', name: `service-${i}-${n}` },
    })),
  });
}

function heapBytes(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const arena = createArena({ flowsMax: 1024, imageWords: IMAGE_WORDS_DEFAULT }, 1);
const writer = new ImageWriter(arena);
const compiler = new Compiler(NODE, RANGES, new IdAllocator(new Map(), writer));
const before = heapBytes();
const tables = new Tables(NODE);
tables.putNode({
  name: NODE,
  addresses: [parseAddress('172.18.0.11')!],
  publicAddresses: [],
  podRanges: [],
  zone: '',
  leaving: false,
});
for (let i = 0; i < services; i++) {
  tables.putService(readService(JSON.parse(serviceText(i)) as Service));
  tables.putSlice(readSlice(JSON.parse(sliceText(i)) as EndpointSlice), null);
}
const compileAt = performance.now();
const compiled = compiler.compile(tables, tables.takeChanges(), 1)!;
const publishAt = performance.now();
writer.publish(compiled.change);
const doneAt = performance.now();
const heap = heapBytes() - before;
const image = writer.usage().used * 4;
console.log(
  JSON.stringify({
    compileMs: publishAt - compileAt,
    publishMs: doneAt - publishAt,
    imageBytes: image / services,
    heapBytes: heap / services,
  }),
);
