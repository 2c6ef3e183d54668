// Entry of a measuring process: `policies-process.ts PODS POLICIES`. Measures the cost of changes
// to pods, namespaces and policies: median time from row to image in force. Prints JSON.
import { PolicyCompiler } from '../../../control/policy/compiler.ts';
import { createArena } from '../../../datapath/arena/arena.ts';
import { IMAGE_WORDS_DEFAULT } from '../../../datapath/arena/layout.ts';
import type { ImageChange } from '../../../datapath/image/image.ts';
import { ImageWriter } from '../../../datapath/image/writer.ts';
import { ServiceMap } from '../../../datapath/services/service-map.ts';
import { parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { benchPod, policyTables } from '../policies.ts';
import { median } from '../report.ts';

const TIMES = 50;
const FIRST = parseAddress('10.128.0.2')!;
const NODE = parseAddress('172.18.0.11')!;
const [pods, policies] = process.argv.slice(2).map(Number) as [number, number];

const arena = createArena({ flowsMax: 1024, imageWords: IMAGE_WORDS_DEFAULT }, 1);
const writer = new ImageWriter(arena);
const worker = new ServiceMap(arena);
const clients = Array.from({ length: pods - 10 }, (_, i) => FIRST + i);
const endpoints = Array.from({ length: 10 }, (_, i) => FIRST + pods + i);
const tables = policyTables(policies, clients, endpoints);
const compiler = new PolicyCompiler(writer.policySurvivors());
const nothing: ImageChange = {
  ...{ node: null, upsert: [], remove: [], addFrontends: [], removeFrontends: [] },
};
const node = {
  ...{ nodeAddress: NODE, nodeAddresses: [NODE], podRanges: [parseRange('10.128.0.0/9')!] },
  ...{ serviceRange: parseRange('10.96.0.0/12')!, snatPortMin: 40_000, snatPortMax: 65_534 },
};

/** ms from the change to an image in force. */
function publish(first = false): number {
  const begun = performance.now();
  const policy = compiler.compile(tables, tables.takeChanges());
  if (!policy) throw new Error('the change changes nothing');
  writer.publish({ ...nothing, node: first ? node : null, policy });
  const ms = performance.now() - begun;
  // Like the worker between two batches.
  worker.refresh();
  return ms;
}

function medianOf(change: (n: number) => void): number {
  return median(
    Array.from({ length: TIMES }, (_, n) => {
      change(n);
      return publish();
    }),
  );
}

const everythingMs = publish(true);
/** The n-th client with the labels of the k-th kind. */
const client = (n: number, k: number) => benchPod(`client-${n}`, clients[n]!, k);
const podMs = medianOf((n) => tables.putPod(benchPod(`new-${n}`, FIRST + 2 * pods + n, n)));
const labelMs = medianOf((n) => tables.putPod(client(n, n + 1)));
const newLabelMs = medianOf((n) => {
  tables.putPod({ ...client(n, n), labels: { app: `app-${n}` } });
});
const goneMs = medianOf((n) => tables.deletePod(`bench/new-${n}`));
const namespaceMs = medianOf((n) => {
  // With a policy that selects the label; else the change would have no effect.
  if (n === 0) tables.putPolicy(byNamespace());
  tables.putNamespace({ name: 'bench', labels: n % 2 === 0 ? { team: 'blue' } : {} });
});
const policyMs = medianOf((n) => {
  tables.putPolicy({ ...byNamespace(), key: `bench/more-${n}` });
});
console.log(
  JSON.stringify({ everythingMs, podMs, labelMs, newLabelMs, goneMs, namespaceMs, policyMs }),
);

function byNamespace() {
  const peer = { namespaces: { matchLabels: { team: 'blue' } }, pods: {} };
  return {
    ...{
      key: 'bench/by-namespace',
      namespace: 'bench',
      audited: false,
      createdMs: 0,
      egress: null,
    },
    selector: { matchLabels: { app: 'web' } },
    ingress: [{ pods: [peer], blocks: [], ports: null }],
  };
}
