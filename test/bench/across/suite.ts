// `bench across`: labs side by side. The nodes of one lab translate by nftables, those of the
// others by the datapath. The labs carry traffic in turn.
import { spawnSync } from 'node:child_process';
import { onInterrupt } from '../../../control/interrupt.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { commandIn, resolvePlace } from '../../../lab/life/target.ts';
import { requireLab } from '../../../lab/state/record.ts';
import { type TestLab, until } from '../../support/lab.ts';
import { type Client, measureConnect } from '../net/measure.ts';
import { CPU_UNITS, KINDS } from '../net/throughput.ts';
import { buildReport, type Report, Samples } from '../report.ts';
import { CLIENT, INSIDE, type Nodes, OUTSIDE, startBenchLab } from './lab.ts';

interface Options {
  rounds: number;
  seconds: number;
  progress: (line: string) => void;
}

/** A client and the address that it connects to. */
interface Way {
  label: string;
  client: Client;
  address: string;
}

const TWIN = 'nftables';
/** By their names in the report, with the last part of the lab's name. */
const LABS: Record<string, Nodes & { lab: string }> = {
  'kubetun tun': { lab: 'tun', proxy: 'kubetun', attach: 'tun' },
  'kubetun veth': { lab: 'veth', proxy: 'kubetun', attach: 'veth' },
  [TWIN]: { lab: 'nft', proxy: 'nftables', attach: 'veth' },
};
const DATAPATHS = Object.keys(LABS);
const [FROM_POD, FROM_INTERNET] = ['pod to pod', 'internet to pod'];
const CONNECTIONS = 2000;

/** From a pod to a pod of another node, and from the internet through the cloud to that pod. */
export async function benchAcross({ rounds, seconds, progress }: Options): Promise<Report> {
  const labs: TestLab[] = [];
  const cleanUp = async () => {
    for (const lab of labs.splice(0)) await lab.down();
  };
  const disarm = onInterrupt(cleanUp);
  try {
    const ways = new Map<string, Way[]>();
    for (const [datapath, { lab: name, ...nodes }] of Object.entries(LABS)) {
      progress(`lab up: ${datapath}`);
      const lab = startBenchLab(`ktb-${name}`, nodes);
      labs.push(lab);
      ways.set(datapath, await waysOf(lab));
    }
    const samples = new Samples();
    for (let round = 1; round <= rounds; round++) {
      for (const datapath of round % 2 === 1 ? DATAPATHS : DATAPATHS.toReversed()) {
        for (const way of ways.get(datapath)!) {
          const said = measureWay(way, datapath, seconds, samples);
          progress(`round ${round}/${rounds}: ${datapath}, ${way.label}: ${said}`);
        }
      }
    }
    return buildReport('across', rounds, samples.inOrder(names()), againstTwin, [
      `two nodes of a lab, MTU 1500; bulk: ${seconds} s each, cubic; all share the cores`,
      'nftables: both nodes run --proxy nftables; the cloud translates by its datapath in both labs',
      `connect and close, ${CONNECTIONS} in a row a round`,
    ]);
  } finally {
    await cleanUp();
    disarm();
  }
}

async function waysOf(lab: TestLab): Promise<Way[]> {
  const outside = async () => {
    const { status } = await lab.kube.get('Service', { namespace: 'default', name: OUTSIDE });
    return status?.loadBalancer?.ingress?.[0]?.ip;
  };
  await until('the load balancer has an address', async () => (await outside()) !== undefined);
  const ways = [
    { label: FROM_POD!, client: clientIn(lab, CLIENT), address: await lab.clusterIP(INSIDE) },
    { label: FROM_INTERNET!, client: clientIn(lab, 'internet'), address: (await outside())! },
  ];
  for (const { label, client, address } of ways) {
    await until(`${label}: the server answers`, () => answers(client, address));
  }
  return ways;
}

function answers(client: Client, address: string): boolean {
  try {
    measureConnect(client, address, 1);
    return true;
  } catch {
    return false;
  }
}

/** Throws KubetunError KT_BENCH if a command fails. */
function clientIn(lab: TestLab, target: string): Client {
  const place = resolvePlace(requireLab(lab.name), target);
  return (command) => {
    const [file, ...args] = commandIn(place, command) as [string, ...string[]];
    const options = { encoding: 'utf8' as const, maxBuffer: 64 * 1024 * 1024 };
    const { status, stdout, stderr } = spawnSync(file, args, options);
    if (status === 0) return stdout;
    const why = (stderr || stdout).trim().split('\n')[0];
    throw new KubetunError('KT_BENCH', `${target}: ${command[0]} ended with ${status}: ${why}`, '');
  };
}

/** Measures one way through one datapath. Returns its figures as text. */
function measureWay(way: Way, datapath: string, seconds: number, samples: Samples): string {
  const said: string[] = [];
  for (const { label, unit, measure } of KINDS) {
    const { rate, cpu } = measure(way.client, way.address, seconds);
    samples.add(`${label}, ${way.label}, ${datapath}`, unit, rate);
    samples.add(`CPU of ${label}, ${way.label}, ${datapath}`, CPU_UNITS[unit], cpu);
    said.push(`${label} ${rate.toFixed(1)} ${unit}`);
  }
  const { p50 } = measureConnect(way.client, way.address, CONNECTIONS);
  samples.add(`connect, ${way.label}, ${datapath}`, 'us', p50);
  return [...said, `connect ${p50.toFixed(1)} us`].join(', ');
}

function names(): string[] {
  const figures = KINDS.flatMap(({ label }) => [label, `CPU of ${label}`]);
  return [...figures, 'connect'].flatMap((figure) =>
    [FROM_POD, FROM_INTERNET].flatMap((way) =>
      DATAPATHS.map((datapath) => `${figure}, ${way}, ${datapath}`),
    ),
  );
}

function againstTwin(name: string): string[] {
  const figure = name.split(', ').slice(0, -1);
  return name.endsWith(`, ${TWIN}`) ? [] : [[...figure, TWIN].join(', ')];
}
