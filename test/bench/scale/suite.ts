// `bench scale`: the cost of a node's control plane by the number of Services, and of a node in
// clusters of two sizes.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';
import { buildReport, type Report, type Series } from '../report.ts';

/** A measuring process and its output: figures by field, each with name and unit. */
interface Point {
  program: string;
  sizes: number[];
  label: string;
  figures: Record<string, [name: string, unit: string]>;
}

const SERVICE_FIGURES: Point['figures'] = {
  compileMs: ['compile everything', 'ms'],
  publishMs: ['publish everything', 'ms'],
  imageBytes: ['image', 'bytes/Service'],
  heapBytes: ['heap of the agent', 'bytes/Service'],
};
const POLICY_FIGURES: Point['figures'] = {
  everythingMs: ['compile and publish everything', 'ms'],
  podMs: ['a new pod', 'ms'],
  labelMs: ["a pod's other labels", 'ms'],
  newLabelMs: ["a pod's labels that no other has", 'ms'],
  goneMs: ['a pod that is gone', 'ms'],
  namespaceMs: ["a namespace's labels", 'ms'],
  policyMs: ['a new policy', 'ms'],
};
const CLUSTER_FIGURES: Point['figures'] = {
  everythingMs: ['compile and publish everything', 'ms'],
  endpointsMs: ['a changed endpoint', 'ms'],
  podMs: ['a new pod', 'ms'],
  nodeMs: ['a new node', 'ms'],
  newNs: ['a new flow', 'ns/packet'],
  hitNs: ['an established flow', 'ns/packet'],
  wholeRules: ['rules of a node', 'rules'],
  narrowRules: ['rules of a node with narrow steering', 'rules'],
};
const SMALL = 'a cluster of 2 nodes';
const LARGE = 'a cluster of 1000 nodes';

const POINTS: Point[] = [
  services(10_000, 10),
  services(30_000, 10),
  services(100_000, 2),
  {
    ...{ program: pathOf('./policies-process.ts'), sizes: [1000, 500] },
    ...{ label: '1000 pods, 500 policies', figures: POLICY_FIGURES },
  },
  // 40 policies: each kind of client has one for ingress and one for egress.
  cluster(SMALL, [2, 10, 10, 40]),
  cluster(LARGE, [1000, 10_000, 10, 2000]),
];

/** Runs every point in a separate process, `rounds` times. Throws KubetunError KT_BENCH. */
export function benchScale(rounds: number, progress: (line: string) => void): Report {
  const series = new Map<string, Series>();
  for (let round = 1; round <= rounds; round++) {
    for (const { program, sizes, label, figures } of POINTS) {
      const found = measure(program, sizes);
      const said = Object.entries(figures).map(([field, [what, unit]]) => {
        const name = `${what}, ${label}`;
        const one = series.get(name) ?? { name, unit, values: [] };
        series.set(name, one);
        one.values.push(found[field]!);
        return `${what} ${Number(found[field]!.toPrecision(3))} ${unit}`;
      });
      progress(`round ${round}/${rounds}: ${label}: ${said.join(', ')}`);
    }
  }
  return buildReport('scale', rounds, [...series.values()], smallerOf, [
    'in memory, one core: objects as they arrive, to rows, to what changes, to an image; each value comes from a separate process',
    'a cluster of 1000 nodes has 10,000 Services, 100,000 endpoints and 2,000 NetworkPolicies; one of 2 nodes 10, 100 and 40',
  ]);
}

/** The baseline for a figure of the large cluster. */
function smallerOf(name: string): string[] {
  return name.endsWith(LARGE) ? [name.replace(LARGE, SMALL)] : [];
}

function services(count: number, endpoints: number): Point {
  const label = `${count} Services of ${endpoints}`;
  const program = pathOf('./process.ts');
  return { program, sizes: [count, endpoints], label, figures: SERVICE_FIGURES };
}

function cluster(label: string, sizes: number[]): Point {
  return { program: pathOf('./cluster-process.ts'), sizes, label, figures: CLUSTER_FIGURES };
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

function measure(program: string, sizes: number[]): Record<string, number> {
  const args = ['--expose-gc', program, ...sizes.map(String)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout) as Record<string, number>;
  throw new KubetunError(
    'KT_BENCH',
    `measuring ${sizes.join(' and ')} ended with ${status}: ${stderr}`,
    '',
  );
}
