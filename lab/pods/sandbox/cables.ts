// Compares the cables of a lab's pods with the records of pods. The agent owns the filters on them.
import { existsSync } from 'node:fs';
import { TABLE_PODS } from '../../../control/node/rule.ts';
import { stateDir } from '../../../control/places.ts';
import { ipJsonBatch } from '../../host/ip.ts';
import { namespaceOf, namespacePath, podLink } from '../../places/names.ts';
import type { LabRecord } from '../../state/record.ts';
import { DUMMY, layCable, type PodNetwork, raiseCable } from './network.ts';
import { mendDevice, servedNamespaces } from './port.ts';
import { readPodRecords } from './records.ts';

interface LinkJson {
  ifname: string;
  flags: string[];
  addr_info?: { local: string }[];
}

/** A cable with something missing. */
interface BrokenCable {
  pod: PodNetwork;
  /** The cable itself exists. */
  isLaid: boolean;
}

/** Incomplete cables, one line each. */
export async function checkCables(record: LabRecord): Promise<string[]> {
  return (await findBroken(record)).map(describe);
}

/**
 * Repairs incomplete cables and returns them, one line each. Throws KubetunError KT_IP, KT_TC,
 * KT_SYSCTL.
 */
export async function mendCables(record: LabRecord): Promise<string[]> {
  const broken = await findBroken(record);
  for (const { pod, isLaid } of broken) {
    if (pod.attach === 'tun') await mendDevice(pod);
    else await (isLaid ? raiseCable(pod) : layCable(pod));
  }
  return broken.map(describe);
}

function describe({ pod: { attach, node, nodeNetns, link, address } }: BrokenCable): string {
  if (attach === 'tun') return `the agent of ${node} does not serve the device of ${address}`;
  return `${nodeNetns}: the cable ${link} to ${address} is incomplete`;
}

async function findBroken({ lab, topology }: LabRecord): Promise<BrokenCable[]> {
  // A pod gets its network before its first process.
  const records = readPodRecords(stateDir(lab)).filter((r) => r.sandbox && !r.hostNetwork);
  const broken: BrokenCable[] = [];
  for (const { name: node, mtu, attach = 'veth' } of topology.nodes) {
    const nodeNetns = namespaceOf(lab, node);
    const pods = records
      .filter((record) => record.node === node)
      .map(({ namespace, name, netns, address }): PodNetwork => {
        const link = podLink(namespace, name);
        return { lab, node, attach, netns, nodeNetns, link, address, mtu };
      });
    if (pods.length === 0) continue;
    const find = attach === 'tun' ? findUnserved : findBrokenOf;
    broken.push(...(await find(pods)));
  }
  return broken;
}

/** Pods of one node whose TUN devices its agent does not serve. */
async function findUnserved(pods: PodNetwork[]): Promise<BrokenCable[]> {
  const { lab, node } = pods[0]!;
  const served = await servedNamespaces(lab, node);
  if (served === null) return [];
  return pods
    .filter(({ netns }) => !served.has(namespacePath(netns)) && existsSync(namespacePath(netns)))
    .map((pod) => ({ pod, isLaid: true }));
}

/** Pods of one node whose cables are incomplete. */
async function findBrokenOf(pods: PodNetwork[]): Promise<BrokenCable[]> {
  const { nodeNetns } = pods[0]!;
  const asked = ['link show', 'addr show', `route show table ${TABLE_PODS}`];
  const answers = await ipJsonBatch(nodeNetns, asked);
  if (!answers) return [];
  const [links, addresses, routes] = answers as [LinkJson[], LinkJson[], { dst: string }[]];
  return pods.flatMap((pod) => {
    const link = links.find(({ ifname }) => ifname === pod.link);
    const own = addresses.find(({ ifname }) => ifname === pod.link)?.addr_info ?? [];
    const isRaised =
      link?.flags.includes('UP') &&
      own.some(({ local }) => DUMMY === `${local}/32`) &&
      routes.some(({ dst }) => dst === pod.address);
    // If the pod has ended meanwhile, its cable went with it.
    if (isRaised || !existsSync(namespacePath(pod.netns))) return [];
    return [{ pod, isLaid: link !== undefined }];
  });
}
