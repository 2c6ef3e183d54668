import { readdirSync, readlinkSync } from 'node:fs';
import { stateDir } from '../../../control/places.ts';
import { endProcesses, identify, isAlive, type ProcessId, signal } from '../../host/process.ts';
import { removeLogs } from '../../logs/files.ts';
import { removeVolumes } from '../given/volumes.ts';
import { clearPodNetwork } from './network.ts';
import { type PodRecord, readPodRecords, removePodRecord } from './records.ts';

/** Ends every recorded pod and removes its network. Safe to repeat. */
export async function removeAllPods(lab: string): Promise<void> {
  const records = readPodRecords(stateDir(lab));
  const sandboxes = records
    .map((record) => record.sandbox)
    .filter((s): s is ProcessId => s !== null);
  await endProcesses(sandboxes, 0);
  for (const record of records) await removePod(lab, record);
}

/** Kills a pod at once and removes its network, files and record. Safe to repeat. */
export async function removePod(lab: string, record: PodRecord): Promise<void> {
  const folder = stateDir(lab);
  // PID 1 takes everything in its PID namespace with it, mounts included.
  if (record.sandbox) await endProcesses([record.sandbox], 0);
  if (!record.hostNetwork) await clearPodNetwork({ ...record, lab });
  removeVolumes(folder, record.uid);
  removeLogs(folder, record.namespace, record.name);
  removePodRecord(folder, record.namespace, record.name);
}

/**
 * Kills processes that ended containers left in their pod: those in its PID namespace whose mount
 * namespace belongs to no living container. A container runtime has no such processes, because its
 * containers have PID namespaces of their own.
 */
export function endStrays(sandbox: ProcessId, living: ProcessId[]): void {
  const pids = isAlive(sandbox) ? namespaceOf(sandbox.pid, 'pid') : null;
  if (!pids || pids === namespaceOf(process.pid, 'pid')) return;
  // PID 1 of a pod and a container that is being started are in the machine's mount namespace.
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
