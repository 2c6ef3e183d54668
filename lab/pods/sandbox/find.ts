import { isAlive } from '../../host/process.ts';
import { readPodRecord } from './records.ts';

export interface FoundPod {
  netns: string;
  node: string;
  /** Those that run, in the order of the pod's spec. */
  containers: { name: string; pid: number }[];
}

/** A pod that runs; null if there is none of that name. */
export function findPod(stateDir: string, namespace: string, name: string): FoundPod | null {
  const record = readPodRecord(stateDir, namespace, name);
  if (!record?.sandbox || !isAlive(record.sandbox)) return null;
  const containers = record.containers
    .filter((container) => isAlive(container.process))
    .map((container) => ({ name: container.name, pid: container.process.pid }));
  return { netns: record.netns, node: record.node, containers };
}
