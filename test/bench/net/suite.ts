// `bench throughput` and `bench connect`: every datapath in the same namespaces, in turn.
import { onInterrupt } from '../../../control/interrupt.ts';
import { buildReport, type Report, type Series } from '../report.ts';
import { CONNECTIONS, connectAgainst, measureConnects } from './connect.ts';
import { startServers } from './measure.ts';
import { measurePods, podsAgainst } from './pods.ts';
import { bulkAgainst, measureBulk, type NetOptions, SERVICES } from './throughput.ts';
import { MTU, makeTopology, podsBy, removeTopology } from './topology.ts';
import { isPresent, presentTwins, TWINS } from './twins.ts';

const SHARED = 'sender, receiver and datapath share the cores';

type Options = Omit<NetOptions, 'twins'>;

/** Bulk, datagrams and connects. */
export async function benchThroughput(options: Options): Promise<Report> {
  const { twins, missing } = presentTwins();
  const series = await withPods(async () => [
    ...(await measureBulk({ ...options, twins })),
    ...(await measureConnects({ ...options, twins })),
  ]);
  const against = (name: string) => [...bulkAgainst(name, twins), ...connectAgainst(name)];
  return buildReport('throughput', options.rounds, series, against, [
    `pod - node - pod, MTU ${MTU}; bulk: ${options.seconds} s each, cubic, ${SERVICES} Services; ${SHARED}`,
    `before the first measurement of a datapath, one stream of ${options.seconds} s that is not counted`,
    'CPU: user, system and interrupt time of all CPUs, sender and receiver included',
    connectNote(),
    ...missing,
  ]);
}

/** Connects only. */
export async function benchConnect(options: Options): Promise<Report> {
  const { twins, missing } = presentTwins();
  const series = await withPods(() => measureConnects({ ...options, twins }));
  return buildReport('connect', options.rounds, series, connectAgainst, [
    `pod - node - pod, MTU ${MTU}; ${SHARED}`,
    connectNote(),
    ...missing,
  ]);
}

/** The same two pods of a node with 2 to 200 pods. */
export async function benchPods(options: Options): Promise<Report> {
  const { missing } = presentTwins();
  const series = await withPods(() => measurePods({ ...options, isPresent }));
  return buildReport('pods', options.rounds, series, podsAgainst, [
    `pod - node - pod, MTU ${MTU}; bulk: ${options.seconds} s each, cubic, ${SERVICES} Services; ${SHARED}`,
    'the other pods of the node send nothing; sizes up in odd rounds, down in even ones',
    ...missing,
  ]);
}

function connectNote(): string {
  return `connect and close, ${CONNECTIONS} in a row a round; the measured Service is the last of the table; sizes up in odd rounds, down in even ones`;
}

/** Runs measurements between two pods. Removes everything afterwards, also when interrupted. */
async function withPods(measure: () => Promise<Series[]>): Promise<Series[]> {
  const servers: (() => Promise<void>)[] = [];
  const cleanUp = async () => {
    for (const twin of TWINS) await twin.end().catch(() => {});
    for (const stopServers of servers.splice(0)) await stopServers();
    removeTopology();
  };
  const disarm = onInterrupt(cleanUp);
  try {
    makeTopology();
    for (const attach of ['veth', 'tun'] as const) {
      servers.push(await startServers(podsBy(attach)[1]));
    }
    return await measure();
  } finally {
    await cleanUp();
    disarm();
  }
}
