// `bench scale`: what a node's control plane costs, by the number of Services.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';
import { buildReport, type Report, type Series } from '../report.ts';

const PROCESS = fileURLToPath(new URL('./process.ts', import.meta.url));
const SIZES: [services: number, endpoints: number][] = [
  [10_000, 10],
  [30_000, 10],
  [100_000, 2],
];

const POLICIES_PROCESS = fileURLToPath(new URL('./policies-process.ts', import.meta.url));
const PODS = 1000;
const POLICIES = 500;
const POLICY_FIGURES: Record<string, string> = {
  everythingMs: 'compile and publish everything',
  podMs: 'a new pod',
  labelMs: "a pod's other labels",
  newLabelMs: "a pod's labels that no other has",
  goneMs: 'a pod that is gone',
  namespaceMs: "a namespace's labels",
  policyMs: 'a new policy',
};

type Figures = Record<'compileMs' | 'publishMs' | 'imageBytes' | 'heapBytes', number>;
const FIGURES: [field: keyof Figures, name: string, unit: string][] = [
  ['compileMs', 'compile everything', 'ms'],
  ['publishMs', 'publish everything', 'ms'],
  ['imageBytes', 'image', 'bytes/Service'],
  ['heapBytes', 'heap of the agent', 'bytes/Service'],
];

export function benchScale(rounds: number, progress: (line: string) => void): Report {
  const series: Series[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const [services, endpoints] of SIZES) {
      const size = `${services} Services of ${endpoints}`;
      const figures = measure<Figures>(PROCESS, services, endpoints);
      for (const [field, what, unit] of FIGURES) {
        const name = `${what}, ${size}`;
        add(series, name, unit, figures[field]);
      }
      const said = FIGURES.map(
        ([field, what, unit]) => `${what} ${figures[field].toFixed(0)} ${unit}`,
      );
      progress(`round ${round}/${rounds}: ${size}: ${said.join(', ')}`);
    }
    const size = `${PODS} pods, ${POLICIES} policies`;
    const figures = measure<Record<string, number>>(POLICIES_PROCESS, PODS, POLICIES);
    for (const [field, what] of Object.entries(POLICY_FIGURES)) {
      add(series, `${what}, ${size}`, 'ms', figures[field]!);
    }
    const said = Object.entries(POLICY_FIGURES).map(
      ([f, what]) => `${what} ${figures[f]!.toFixed(1)} ms`,
    );
    progress(`round ${round}/${rounds}: ${size}: ${said.join(', ')}`);
  }
  return buildReport('scale', rounds, series, () => [], [
    'in memory, one core: objects as they arrive, to rows, to what changes, to an image; each value is of a process of its own',
  ]);
}

function add(series: Series[], name: string, unit: string, value: number): void {
  const known = series.find((one) => one.name === name);
  if (known) known.values.push(value);
  else series.push({ name, unit, values: [value] });
}

function measure<T>(program: string, ...sizes: number[]): T {
  const args = ['--expose-gc', program, ...sizes.map(String)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout) as T;
  throw new KubetunError(
    'KT_BENCH',
    `measuring ${sizes.join(' and ')} ended with ${status}: ${stderr}`,
    '',
  );
}
