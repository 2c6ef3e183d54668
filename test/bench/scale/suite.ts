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
      const figures = measure(services, endpoints);
      for (const [field, what, unit] of FIGURES) {
        const name = `${what}, ${size}`;
        const known = series.find((one) => one.name === name);
        if (known) known.values.push(figures[field]);
        else series.push({ name, unit, values: [figures[field]] });
      }
      const said = FIGURES.map(
        ([field, what, unit]) => `${what} ${figures[field].toFixed(0)} ${unit}`,
      );
      progress(`round ${round}/${rounds}: ${size}: ${said.join(', ')}`);
    }
  }
  return buildReport('scale', rounds, series, () => [], [
    'in memory, one core: objects as they arrive, to rows, to what changes, to an image; each value is of a process of its own',
  ]);
}

function measure(services: number, endpoints: number): Figures {
  const args = ['--expose-gc', PROCESS, String(services), String(endpoints)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout) as Figures;
  throw new KubetunError(
    'KT_BENCH',
    `measuring ${services} Services ended with ${status}: ${stderr}`,
    '',
  );
}
