// `bench core`: the pipeline in memory.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KubetunError } from '../../../datapath/error.ts';
import { Reference } from '../reference/reference.ts';
import { buildReport, type Report, type Series } from '../report.ts';
import { SLICES } from './slices.ts';

const PROCESS = fileURLToPath(new URL('./process.ts', import.meta.url));
const POLICIES = 500;
const WITH_POLICIES = `, ${POLICIES} policies`;
const IN_C = ', in C';
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

const NOTES = [
  'in memory, one core: batches of 64 segments of random flows through parse, find, track, translate; partial checksums',
  'each value comes from a separate process: its fastest slice, less its fastest filling of the same batches',
];
const IN_C_NOTE =
  'in C: the same hit path, cc -O2; its time as a part of the time above is the speed above as a part of its speed';

export async function benchCore(rounds: number, progress: (line: string) => void): Promise<Report> {
  const reference = new Reference(progress);
  const series = new Map<string, Series>();
  const add = (round: number, name: string, ns: number) => {
    if (!series.has(name)) series.set(name, { name, unit: 'ns/packet', values: [] });
    series.get(name)!.values.push(ns);
    progress(`round ${round}/${rounds}: ${name}: ${ns.toFixed(1)} ns`);
  };
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const [what, flows, label, policies] of POINTS) {
        const name = what === 'hit' ? `established, ${label}` : `new flow, ${label}`;
        add(round, name, await measure(what, flows, policies));
        if (what !== 'hit' || policies > 0 || !reference.isBuilt) continue;
        add(round, name + IN_C, reference.measureHit(flows, SLICES));
      }
    }
  } finally {
    reference.remove();
  }
  const notes = reference.isBuilt ? [...NOTES, IN_C_NOTE] : NOTES;
  return buildReport('core', rounds, [...series.values()], baseline, notes);
}

/** The baseline of a point with policies, or of a point in C. */
function baseline(name: string): string[] {
  const suffix = [WITH_POLICIES, IN_C].find((each) => name.endsWith(each));
  return suffix ? [name.slice(0, -suffix.length)] : [];
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
