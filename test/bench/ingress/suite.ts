// `bench ingress`: requests through a balancer, HAProxy and a Service, in quiet and under changes.
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { onInterrupt } from '../../../control/interrupt.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { INGRESS_DEPLOYMENT } from '../../../lab/supervisor/ingress.ts';
import { startLab, type TestLab, until } from '../../support/lab.ts';
import { Figures } from '../pace/figures.ts';
import { buildReport, type Report } from '../report.ts';
import { churn } from './churn.ts';
import { measureMany } from './many.ts';
import { handWritten, objectsOf, REPLICAS } from './world.ts';
import { hasWrk, load } from './wrk.ts';

export interface IngressOptions {
  rounds: number;
  seconds: number;
  /** Seconds of requests under changes. */
  churn: number;
  ingresses: number;
  progress: (line: string) => void;
}

const LAB = 'ktb-ing';
const READY_MS_MAX = 60_000;
const INGRESS = 'Ingress';
const HAND = 'HAProxy by hand';
const DIRECT = 'Service alone';

export async function benchIngress(options: IngressOptions): Promise<Report> {
  const { rounds, seconds, ingresses, progress } = options;
  const folder = mkdtempSync(join(tmpdir(), 'ktbench-'));
  const figures = new Figures();
  const notes = [
    'from the internet through a load balancer, policy Local; the servers are HAProxy with a short answer',
    `wrk: 32 connections for ${seconds} s; everything shares the cores`,
    `under changes: ${options.churn} s of HTTP and HTTPS at once; routes each second, a certificate each 2 s, all pods each 10 s`,
  ];
  let lab: TestLab | null = null;
  const end = async () => {
    const own = lab;
    lab = null;
    await own?.down();
    rmSync(folder, { recursive: true, force: true });
  };
  const disarm = onInterrupt(end);
  try {
    progress('lab up');
    lab = startLab(LAB, objectsOf(folder), { ingress: true });
    const ways = await waysOf(lab);
    if (hasWrk()) {
      for (let round = 1; round <= rounds; round++) {
        const mark = figures.count;
        await measureWays(lab, round % 2 === 1 ? ways : ways.toReversed(), seconds, figures);
        for (const line of figures.since(mark)) progress(`round ${round}/${rounds}: ${line}`);
      }
      await measureChurn(lab, ways[0]!.address, options.churn, folder, figures, progress);
    } else notes.push('no wrk: apt-get install wrk adds its rows');
    const mark = figures.count;
    await measureMany(lab, ways[0]!.address, ingresses, figures);
    for (const line of figures.since(mark)) progress(line);
    notes.push(`load average ${loadavg()[0]!.toFixed(1)} at the end, this included`);
    return buildReport('ingress', rounds, figures.series, against, notes);
  } finally {
    await end();
    disarm();
  }
}

function against(name: string): string[] {
  const suffix = `, ${INGRESS}`;
  if (!name.endsWith(suffix)) return [];
  return [HAND, DIRECT].map((way) => `${name.slice(0, -suffix.length)}, ${way}`);
}

interface Way {
  label: string;
  address: string;
}

/** Starts the hand-written HAProxy, whose servers are the pods of now. */
async function waysOf(lab: TestLab): Promise<Way[]> {
  let addresses: string[] = [];
  await until('all servers are ready', async () => {
    const { items } = await lab.kube.list('Pod', { namespace: 'default' });
    const ready = items.filter(({ status }) => status?.containerStatuses?.every((c) => c.ready));
    addresses = ready.map(({ status }) => status!.podIP!);
    return addresses.length === REPLICAS;
  });
  await lab.kube.create('Deployment', handWritten(addresses) as never);
  const places = [
    { label: INGRESS, ...INGRESS_DEPLOYMENT },
    { label: HAND, namespace: 'default', name: 'hand' },
    { label: DIRECT, namespace: 'default', name: 'web' },
  ];
  const ways: Way[] = [];
  for (const { label, ...place } of places) {
    let address = '';
    await until(`${label} has an address`, async () => {
      const { status } = await lab.kube.get('Service', place);
      address = status?.loadBalancer?.ingress?.[0]?.ip ?? '';
      return address !== '';
    });
    const ask = ['curl', '-sf', '-m', '2', '-H', 'Host: web.bench.test', `http://${address}/`];
    await until(`${label} answers`, () => lab.succeeds('internet', ...ask), READY_MS_MAX);
    ways.push({ label, address });
  }
  return ways;
}

async function measureWays(
  lab: TestLab,
  ways: Way[],
  seconds: number,
  figures: Figures,
): Promise<void> {
  for (const { label, address } of ways) {
    const found = await load(lab, `http://${address}/`, seconds);
    requireNone(found.failed, `${label}: ${found.why}`);
    figures.add(`requests, ${label}`, 'a second', found.perSecond);
    figures.add(`latency p50, ${label}`, 'ms', found.p50Ms);
    figures.add(`latency p99, ${label}`, 'ms', found.p99Ms);
  }
}

/** A measurement with failed requests says nothing about the rate. */
function requireNone(failed: number, why: string): void {
  if (failed === 0) return;
  throw new KubetunError(
    'KT_BENCH',
    `${failed} requests failed: ${why}`,
    'see the logs of the pods',
  );
}

async function measureChurn(
  lab: TestLab,
  address: string,
  seconds: number,
  folder: string,
  figures: Figures,
  progress: (line: string) => void,
): Promise<void> {
  const mark = figures.count;
  const { http, https, changes } = await churn(lab, address, seconds, folder);
  const all = { HTTP: http, HTTPS: https };
  for (const [name, found] of Object.entries(all)) {
    figures.add(`failed requests under changes, ${name}`, 'requests', found.failed);
    figures.add(`all requests under changes, ${name}`, 'requests', found.requests);
    figures.add(`latency p99 under changes, ${name}`, 'ms', found.p99Ms);
    if (found.why !== '') progress(`${name}: ${found.why}`);
  }
  figures.add('changes meanwhile', 'changes', changes);
  for (const line of figures.since(mark)) progress(line);
}
