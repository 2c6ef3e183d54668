// Records of running pods on disk. A later process finds a pod's processes through them.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../../control/files.ts';
import { isAlive, type ProcessId } from '../../host/process.ts';
import type { Attach } from '../../topology/topology.ts';

export interface PodRecord {
  namespace: string;
  name: string;
  uid: string;
  node: string;
  /** Name of the pod's network namespace. */
  netns: string;
  address: string;
  /** PID 1 of the pod. When it ends, everything in the pod ends. */
  sandbox: ProcessId | null;
  containers: { name: string; process: ProcessId }[];
  /** Containers that are being started. Their processes are not recorded yet. */
  starting?: string[];
  /** The pod uses the network namespace of its node, which stays when the pod ends. */
  hostNetwork?: boolean;
  /** Absent in records of older labs: veth. */
  attach?: Attach;
}

function folder(stateDir: string): string {
  return join(stateDir, 'pods');
}

function pathOf(stateDir: string, namespace: string, name: string): string {
  return join(folder(stateDir), `${namespace}_${name}.json`);
}

export function writePodRecord(stateDir: string, record: PodRecord): void {
  const path = pathOf(stateDir, record.namespace, record.name);
  replaceFile(path, `${JSON.stringify(record)}\n`);
}

export function removePodRecord(stateDir: string, namespace: string, name: string): void {
  rmSync(pathOf(stateDir, namespace, name), { force: true });
}

/** Null if the pod has no record, or a broken one. */
export function readPodRecord(stateDir: string, namespace: string, name: string): PodRecord | null {
  try {
    return JSON.parse(readFileSync(pathOf(stateDir, namespace, name), 'utf8')) as PodRecord;
  } catch {
    return null;
  }
}

export function readPodRecords(stateDir: string): PodRecord[] {
  if (!existsSync(folder(stateDir))) return [];
  return readdirSync(folder(stateDir))
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length).split('_') as [string, string])
    .map(([namespace, name]) => readPodRecord(stateDir, namespace, name))
    .filter((record) => record !== null);
}

export interface FoundPod {
  netns: string;
  node: string;
  /** Running containers, in the order of the pod's spec. */
  containers: { name: string; pid: number }[];
}

/** A running pod. Null if no pod with that name runs. */
export function findPod(stateDir: string, namespace: string, name: string): FoundPod | null {
  const record = readPodRecord(stateDir, namespace, name);
  if (!record?.sandbox || !isAlive(record.sandbox)) return null;
  const containers = record.containers
    .filter((container) => isAlive(container.process))
    .map((container) => ({ name: container.name, pid: container.process.pid }));
  return { netns: record.netns, node: record.node, containers };
}
