// `bench core`: the pipeline in memory.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';
import { buildReport, type Report, type Series } from '../report.ts';

const PROCESS = fileURLToPath(new URL('./process.ts', import.meta.url));
const POLICIES = 500;
const WITH_POLICIES = `, ${POLICIES} policies`;
const POINTS: [what: string, flows: number, label: string, policies: number][] = [
  ['hit', 1000, '1k flows', 0],
  ['hit', 1000, `1k flows${WITH_POLICIES}`, POLICIES],
  ['hit', 100_000, '100k flows', 0],
  ['hit', 100_000, `100k flows${WITH_POLICIES}`, POLICIES],
  ['hit', 1_000_000, '1M flows', 0],
  ['new', 1000, '1k flows', 0],
  ['new', 1000, `1k flows${WITH_POLICIES}`, POLICIES],
  ['new', 1_000_000, '1M flows', 0],
  ['new', 1_000_000, `1M flows${WITH_POLICIES}`, POLICIES],
];

export async function benchCore(rounds: number, progress: (line: string) => void): Promise<Report> {
  const series = POINTS.map(([what, , label]): Series => {
    const name = what === 'hit' ? `established, ${label}` : `new flow, ${label}`;
    return { name, unit: 'ns/packet', values: [] };
  });
  for (let round = 1; round <= rounds; round++) {
    for (const [i, [what, flows, , policies]] of POINTS.entries()) {
      const ns = await measure(what, flows, policies);
      series[i]!.values.push(ns);
      progress(`round ${round}/${rounds}: ${series[i]!.name}: ${ns.toFixed(1)} ns`);
    }
  }
  return buildReport('core', rounds, series, withoutPolicies, [
    'in memory, one core: batches of 64 segments of random flows through parse, find, track, translate; partial checksums',
    'each value comes from a separate process: its fastest slice, less its fastest filling of the same batches',
  ]);
}

/** The baseline of a point with policies. */
function withoutPolicies(name: string): string[] {
  return name.endsWith(WITH_POLICIES) ? [name.slice(0, -WITH_POLICIES.length)] : [];
}

/** ns a packet from a fresh process. */
function measure(what: string, flows: number, policies: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROCESS, what, String(flows), String(policies)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) return resolve(Number(text));
      reject(new KubetunError('KT_BENCH', `measuring ${what} ${flows} ended with ${code}`, ''));
    });
  });
}
