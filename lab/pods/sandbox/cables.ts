// Compares the cables of a lab's pods with the records of pods. The agent owns the filters on them.
import { existsSync } from 'node:fs';
import { TABLE_PODS } from '../../../control/node/rule.ts';
import { stateDir } from '../../../control/places.ts';
import { ipJsonBatch } from '../../host/ip.ts';
import { namespaceOf, namespacePath, podLink } from '../../places/names.ts';
import type { LabRecord } from '../../state/record.ts';
import { DUMMY, layCable, type PodNetwork, raiseCable } from './network.ts';
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
  for (const { pod, isLaid } of broken) await (isLaid ? raiseCable(pod) : layCable(pod));
  return broken.map(describe);
}

function describe({ pod: { nodeNetns, link, address } }: BrokenCable): string {
  return `${nodeNetns}: the cable ${link} to ${address} is incomplete`;
}

async function findBroken({ lab, topology }: LabRecord): Promise<BrokenCable[]> {
  // A pod gets its network before its first process.
  const records = readPodRecords(stateDir(lab)).filter((r) => r.sandbox && !r.hostNetwork);
  const broken: BrokenCable[] = [];
  for (const { name, mtu } of topology.nodes) {
    const nodeNetns = namespaceOf(lab, name);
    const pods = records
      .filter(({ node }) => node === name)
      .map(({ namespace, name, netns, address }): PodNetwork => {
        return { netns, nodeNetns, link: podLink(namespace, name), address, mtu };
      });
    if (pods.length > 0) broken.push(...(await findBrokenOf(nodeNetns, pods)));
  }
  return broken;
}

async function findBrokenOf(nodeNetns: string, pods: PodNetwork[]): Promise<BrokenCable[]> {
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
