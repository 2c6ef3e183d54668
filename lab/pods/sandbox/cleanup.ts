import { readdirSync, readlinkSync } from 'node:fs';
import { endProcesses, identify, isAlive, type ProcessId, signal } from '../../host/process.ts';
import { removeLogs } from '../../logs/files.ts';
import { removeVolumes } from '../given/volumes.ts';
import { clearPodNetwork } from './network.ts';
import { type PodRecord, readPodRecords, removePodRecord } from './records.ts';

/** Ends every pod that has a record, with its network. Safe to repeat. */
export async function removeAllPods(stateDir: string): Promise<void> {
  const records = readPodRecords(stateDir);
  const sandboxes = records
    .map((record) => record.sandbox)
    .filter((s): s is ProcessId => s !== null);
  await endProcesses(sandboxes, 0);
  for (const record of records) await removePod(stateDir, record);
}

/** Ends what runs of a pod, at once, and removes its network and its record. Safe to repeat. */
export async function removePod(stateDir: string, record: PodRecord): Promise<void> {
  // PID 1 takes everything in its namespace with it, mounts included; there is nothing to wait for.
  if (record.sandbox) await endProcesses([record.sandbox], 0);
  if (!record.hostNetwork) await clearPodNetwork(record);
  removeVolumes(stateDir, record.uid);
  removeLogs(stateDir, record.namespace, record.name);
  removePodRecord(stateDir, record.namespace, record.name);
}

/**
 * Kills what ended containers have left in their pod: processes of its PID namespace that are in
 * the mount namespace of no living container. A runtime's container has a PID namespace of its own,
 * which takes them along.
 */
export function endStrays(sandbox: ProcessId, living: ProcessId[]): void {
  const pids = isAlive(sandbox) ? namespaceOf(sandbox.pid, 'pid') : null;
  if (!pids || pids === namespaceOf(process.pid, 'pid')) return;
  // PID 1 of a pod stays in the machine's mount namespace, and so does a container that is only
  // being made.
  const kept = new Set(
    [process.pid, sandbox.pid, ...living.map(({ pid }) => pid)].map(mountNamespace),
  );
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || namespaceOf(pid, 'pid') !== pids) continue;
    const mounts = mountNamespace(pid);
    if (mounts === null || kept.has(mounts)) continue;
    const stray = identify(pid);
    if (stray) signal(stray, 'SIGKILL');
  }
}

function mountNamespace(pid: number): string | null {
  return namespaceOf(pid, 'mnt');
}

function namespaceOf(pid: number, kind: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return null;
  }
}
