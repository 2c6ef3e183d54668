// Queries through the DNS Service of a lab, on the datapath and on its twin, the nftables rules.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROXIES, type ProxyKind } from '../../../control/agent-options.ts';
import { stateDir } from '../../../control/places.ts';
import { findTool } from '../../../lab/host/tools.ts';
import { PROJECT_ROOT } from '../../../lab/places/paths.ts';
import { findPod } from '../../../lab/pods/sandbox/records.ts';
import { clientPod, NODE, serviceObject, startLab, type TestLab } from '../../support/lab.ts';
import type { Figures } from '../pace/figures.ts';

export interface ThroughOptions {
  seconds: number;
  /** Number of A and AAAA pairs. */
  pairs: number;
}

const LAB = 'bench-dns';
const SERVICE_IP = '10.96.0.10';
const PAIRS_PROCESS = join(PROJECT_ROOT, 'test/bench/dns/pairs-process.ts');
/** In a folder that pods see. */
const QUERIES = join(PROJECT_ROOT, 'node_modules/.cache/bench-dns.txt');
const SUFFIX = 'svc.cluster.local';
const MIX = [
  `web.default.${SUFFIX} A`,
  `web.default.${SUFFIX} AAAA`,
  `web.default.default.${SUFFIX} A`,
  `kube-dns.kube-system.${SUFFIX} A`,
  `_dns._udp.kube-dns.kube-system.${SUFFIX} SRV`,
  `nothing.default.${SUFFIX} A`,
  `kubernetes.default.${SUFFIX} A`,
  '10.0.96.10.in-addr.arpa PTR',
];
export const RATE_NAME = 'highest rate of dnsperf without loss';
export const PAIRS_NAME = 'pairs of A and AAAA';
const RATE_FIRST = 1000;
const RATE_GROWTH = 1.5;
const BISECTIONS = 3;
/** With fewer queries than this share of the rate, the sender is the limit. */
const SENT_SHARE_MIN = 0.95;
const USER_HZ = 100;

export const hasDnsperf = () => findTool('dnsperf') !== null;

/** One round: every proxy in a lab of its own. */
export async function measureThrough(options: ThroughOptions, figures: Figures): Promise<void> {
  mkdirSync(join(QUERIES, '..'), { recursive: true });
  writeFileSync(QUERIES, MIX.map((line) => `${line}\n`).join(''));
  for (const proxy of PROXIES) {
    const objects = [
      clientPod('client', 'node1'),
      serviceObject('web', { ports: [{ name: 'http', port: 80 }] }),
    ];
    const lab = startLab(LAB, objects, { dns: true, proxy });
    try {
      if (hasDnsperf()) await measureRate(lab, proxy, options.seconds, figures);
      await measurePairs(lab, proxy, options.pairs, figures);
    } finally {
      await lab.down();
    }
  }
}

/** The highest rate that dnsperf finds without a loss, and its CPU time. */
async function measureRate(
  lab: TestLab,
  proxy: ProxyKind,
  seconds: number,
  figures: Figures,
): Promise<void> {
  let best: Run | null = null;
  let lossy = 0;
  let rate = RATE_FIRST;
  // The first queries meet code that is not compiled yet.
  await dnsperf(lab, rate, seconds);
  for (let bisections = 0; bisections < BISECTIONS; ) {
    const run = await dnsperf(lab, Math.round(rate), seconds);
    if (run.lost === 0 && run.perSecond >= SENT_SHARE_MIN * rate) best = run;
    else lossy = rate;
    const low = best?.perSecond ?? 0;
    if (lossy > 0) bisections++;
    rate = lossy > 0 ? (low + lossy) / 2 : rate * RATE_GROWTH;
  }
  figures.add(`${RATE_NAME}, ${proxy}`, 'queries/s', best?.perSecond ?? 0);
  if (best === null) return;
  figures.add(`CPU of the DNS pods at that rate, ${proxy}`, 's a second', best.podsCpuS / seconds);
  figures.add(
    `CPU of the machine at that rate, ${proxy}`,
    's a second',
    best.machineCpuS / seconds,
  );
}

interface Run {
  lost: number;
  perSecond: number;
  podsCpuS: number;
  machineCpuS: number;
}

async function dnsperf(lab: TestLab, rate: number, seconds: number): Promise<Run> {
  const pids = await podPids(lab);
  const used = () => ({ pods: pids.map(cpuOf).reduce((a, b) => a + b, 0), all: cpuOfMachine() });
  const before = used();
  const flags = ['-d', QUERIES, '-l', seconds, '-Q', rate, '-c', 8, '-T', 2, '-q', 4000, '-t', 5];
  const text = await lab.run('client', 'dnsperf', '-s', SERVICE_IP, ...flags.map(String));
  const after = used();
  const number = (label: string) => Number(new RegExp(`${label}:\\s+([\\d.]+)`).exec(text)?.[1]);
  return {
    lost: number('Queries lost'),
    perSecond: number('Queries per second'),
    podsCpuS: after.pods - before.pods,
    machineCpuS: after.all - before.all,
  };
}

async function measurePairs(
  lab: TestLab,
  proxy: ProxyKind,
  pairs: number,
  figures: Figures,
): Promise<void> {
  const command = [NODE, '--disable-warning=ExperimentalWarning', PAIRS_PROCESS];
  const name = `kubernetes.default.${SUFFIX}`;
  const text = await lab.run('client', ...command, SERVICE_IP, name, String(pairs));
  const { lost, ms } = JSON.parse(text) as { lost: number; ms: number };
  figures.add(`queries lost of ${pairs} pairs of A and AAAA, ${proxy}`, 'queries', lost);
  figures.add(`${PAIRS_NAME}, ${proxy}`, 'pairs/s', (pairs * 1000) / ms);
}

async function podPids(lab: TestLab): Promise<number[]> {
  const { items } = await lab.kube.list('Pod', { namespace: 'kube-system' });
  const names = items.map(({ metadata }) => metadata!.name!);
  const pods = names.map((name) => findPod(stateDir(LAB), 'kube-system', name));
  return pods.flatMap((pod) => pod?.containers.map(({ pid }) => pid) ?? []);
}

/** User and system time of a process, seconds. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
}

/** Everything but idle and waiting for disks, seconds. */
function cpuOfMachine(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq!) / USER_HZ;
}
