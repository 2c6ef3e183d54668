// `bench dns`: a DNS server at many Services, and queries through the Service of a lab.

import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onInterrupt } from '../../../control/interrupt.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { PROJECT_ROOT } from '../../../lab/places/paths.ts';
import { makeTopology, removeTopology, start, stop } from '../net/topology.ts';
import { ENDPOINTS, prepareJournal } from '../pace/cluster.ts';
import { addPercentiles, Figures } from '../pace/figures.ts';
import { buildReport, type Report } from '../report.ts';
import type { Asked } from './asker-process.ts';
import {
  hasDnsperf,
  measureThrough,
  PAIRS_NAME,
  RATE_NAME,
  type ThroughOptions,
} from './through.ts';

export interface DnsOptions extends ThroughOptions {
  rounds: number;
  services: number;
  progress: (line: string) => void;
}

const CHANGES = 50;
const UPSTREAM_PORT = 5353;
const UPSTREAM_TTL_S = 1;

export async function benchDns(options: DnsOptions): Promise<Report> {
  const { rounds, services, seconds, pairs, progress } = options;
  const figures = new Figures();
  for (let round = 1; round <= rounds; round++) {
    const mark = figures.count;
    await measureServer(services, seconds, figures);
    await measureThrough({ seconds, pairs }, figures);
    for (const line of figures.since(mark)) progress(`round ${round}/${rounds}: ${line}`);
  }
  const notes = [
    `${services} Services of ${ENDPOINTS} endpoints; ${CHANGES} changes a round, from the write to the first answer`,
    `answers of the cache: TTL ${UPSTREAM_TTL_S} s upstream, asked for ${seconds} s`,
    'through the Service: from a pod on node1 to two DNS pods on two nodes; everything shares the cores',
    `load average ${loadavg()[0]!.toFixed(1)} at the end, this included`,
  ];
  if (!hasDnsperf()) notes.push('no dnsperf: apt-get install dnsperf adds its rows');
  return buildReport('dns', rounds, figures.series, against, notes);
}

/** Rates of the datapath are compared with those of the nftables rules. */
function against(name: string): string[] {
  const isRate = name.startsWith(RATE_NAME) || name.startsWith(PAIRS_NAME);
  return isRate ? [name.replace(/kubetun$/, 'nftables')] : [];
}

/** One DNS server beside an API server with many Services, in a namespace of their own. */
async function measureServer(services: number, seconds: number, figures: Figures): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ktbench-'));
  const children: ChildProcess[] = [];
  const end = async () => {
    for (const child of children.splice(0).toReversed()) await stop(child);
    removeTopology();
    rmSync(folder, { recursive: true, force: true });
  };
  const disarm = onInterrupt(end);
  const begin = async (ready: string, program: string, ...args: (string | number)[]) => {
    const flags = ['--disable-warning=ExperimentalWarning', join(PROJECT_ROOT, program)];
    const child = await start('node', [process.execPath, ...flags, ...args.map(String)], ready);
    children.push(child);
    return child;
  };
  try {
    makeTopology();
    prepareJournal(join(folder, 'journal'), services, null, null);
    await begin('ready', 'test/bench/pace/api-process.ts', folder);
    const asker = await begin(
      'upstream',
      'test/bench/dns/asker-process.ts',
      ...[folder, UPSTREAM_PORT, UPSTREAM_TTL_S, CHANGES, seconds],
    );
    const said = lineOf(asker);
    const args = [
      `--kubeconfig=${join(folder, 'kubeconfig')}`,
      '--address=127.0.0.1',
      `--upstream=127.0.0.1:${UPSTREAM_PORT}`,
    ];
    const server = await begin('DNS answers', 'control/dns/main.ts', ...args);
    addAsked(await said, services, figures);
    figures.add(`memory of a DNS server, ${services} Services`, 'MB', residentMb(server.pid!));
  } finally {
    await end();
    disarm();
  }
}

/** The line of JSON that the asking process prints. Throws KubetunError KT_BENCH. */
function lineOf(child: ChildProcess): Promise<Asked> {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) resolve(JSON.parse(line) as Asked);
    });
    const why = 'the asking process ended without a result';
    child.once('exit', () => reject(new KubetunError('KT_BENCH', why, 'see the lines above')));
  });
}

function addAsked(asked: Asked, services: number, figures: Figures): void {
  const { readyMs, changeMs, cachedMsMax, cachedCount, staleCount } = asked;
  figures.add(`start to the first answer, ${services} Services`, 'ms', readyMs);
  addPercentiles(figures, `a changed endpoint to its answer, ${services} Services`, changeMs);
  figures.add('answers of the cache, all', 'answers', cachedCount);
  figures.add('answers of the cache, past their TTL', 'answers', staleCount);
  figures.add(`oldest answer of the cache, TTL ${UPSTREAM_TTL_S} s`, 'ms', cachedMsMax);
}

/** Resident memory, MB. */
function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
  return Number(kb) / 1000;
}
