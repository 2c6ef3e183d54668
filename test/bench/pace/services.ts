// `bench services`: the time from a Service's creation to the first endpoint in its EndpointSlice.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onInterrupt } from '../../../control/interrupt.ts';
import { connectKube, type KubeClient } from '../../../control/kube/client.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { buildReport, type Report } from '../report.ts';
import { ENDPOINTS, prepareJournal, SERVICE_NAME_LABEL } from './cluster.ts';
import { addPercentiles, Figures } from './figures.ts';

export interface ServicesOptions {
  rounds: number;
  /** Number of existing Services. */
  beside: number[];
  progress: (line: string) => void;
}

const CREATED = 200;
const PARALLEL = 15;
const API_PROCESS = fileURLToPath(new URL('./api-process.ts', import.meta.url));
const ENDPOINTS_MS_MAX = 30_000;
const SILENCE_MS_MAX = 300_000;

/** Runs a separate API server on loopback for each number of Services, and removes everything. */
export async function benchServices(options: ServicesOptions): Promise<Report> {
  const { rounds, beside, progress } = options;
  const figures = new Figures();
  for (const services of beside) {
    await withServer(services, async (kube) => {
      for (let round = 1; round <= rounds; round++) {
        const mark = figures.count;
        await measureRound(kube, round, `beside ${services} Services`, figures);
        for (const line of figures.since(mark)) progress(`round ${round}/${rounds}: ${line}`);
      }
    });
  }
  return buildReport('services', rounds, figures.series, () => [], [
    `${CREATED} Services created, ${PARALLEL} at a time, each with one pod that is ready; the others have ${ENDPOINTS} endpoints`,
    'from the request to the event of a watch that shows the first endpoint',
    `load average ${loadavg()[0]!.toFixed(1)} at the end, this included`,
  ]);
}

async function withServer(
  services: number,
  measure: (kube: KubeClient) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ktbench-'));
  let server: ChildProcess | null = null;
  let kube: KubeClient | null = null;
  const end = () => {
    kube?.close();
    server?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', end);
  // The end of the process ends the server.
  const disarm = onInterrupt(() => {});
  try {
    prepareJournal(join(folder, 'journal'), services, null, null);
    const flags = ['--disable-warning=ExperimentalWarning', API_PROCESS, folder];
    server = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(server.stdout!, 'data');
    kube = connectKube(join(folder, 'kubeconfig'));
    await measure(kube);
  } finally {
    end();
    process.removeListener('exit', end);
    disarm();
  }
}

/** Creates pods, then their Services concurrently up to the bound, and deletes them again. */
async function measureRound(
  kube: KubeClient,
  round: number,
  state: string,
  figures: Figures,
): Promise<void> {
  const names = Array.from({ length: CREATED }, (_, i) => `new-${round}-${i}`);
  await inParallel(names, (name) => createPod(kube, name, names.indexOf(name)));
  const seenMs = new Map<string, number>();
  const abort = new AbortController();
  const { resourceVersion } = await kube.list('EndpointSlice', { limit: 1 });
  const watching = kube
    .watch(
      'EndpointSlice',
      { resourceVersion, silenceMsMax: SILENCE_MS_MAX, signal: abort.signal },
      ({ object: { metadata, endpoints } }) => {
        const name = metadata?.labels?.[SERVICE_NAME_LABEL] ?? '';
        if (endpoints?.length && !seenMs.has(name)) seenMs.set(name, performance.now());
      },
    )
    .catch((error: unknown) => {
      if (!abort.signal.aborted) throw error;
    });
  const sentMs = new Map<string, number>();
  const answers: number[] = [];
  await inParallel(names, async (name) => {
    const begunMs = performance.now();
    sentMs.set(name, begunMs);
    const spec = { selector: { app: name }, ports: [{ port: 80 }] };
    await kube.create('Service', { metadata: { namespace: 'default', name }, spec });
    answers.push(performance.now() - begunMs);
  });
  await untilSeen(names, seenMs);
  abort.abort();
  await watching;
  const times = names.map((name) => seenMs.get(name)! - sentMs.get(name)!);
  addPercentiles(figures, `${state}, create to first endpoint`, times);
  addPercentiles(figures, `${state}, create acknowledged`, answers);
  const place = { namespace: 'default' };
  await inParallel(names, (name) => kube.delete('Service', { ...place, name }));
  await inParallel(names, (name) => kube.delete('Pod', { ...place, name }, { graceS: 0 }));
}

/** A pod with a ready status and no containers. */
async function createPod(kube: KubeClient, name: string, n: number): Promise<void> {
  const metadata = { namespace: 'default', name, labels: { app: name } };
  const spec = { nodeName: 'node1', containers: [{ name: 'main', image: 'pause' }] };
  await kube.create('Pod', { metadata, spec });
  const podIP = `10.244.1.${1 + n}`;
  const status = {
    phase: 'Running',
    podIP,
    podIPs: [{ ip: podIP }],
    conditions: [{ type: 'Ready', status: 'True' }],
  };
  await kube.patch('Pod', { namespace: 'default', name }, { status }, 'status');
}

async function inParallel<T>(items: T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = items.values();
  const lane = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
}

async function untilSeen(names: string[], seenMs: Map<string, number>): Promise<void> {
  for (const endMs = performance.now() + ENDPOINTS_MS_MAX; performance.now() < endMs; ) {
    if (names.every((name) => seenMs.has(name))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const missing = names.find((name) => !seenMs.has(name));
  const message = `Service ${missing} has no endpoint after ${ENDPOINTS_MS_MAX / 1000} s`;
  throw new KubetunError('KT_BENCH', message, 'look at the EndpointSlice controller');
}
