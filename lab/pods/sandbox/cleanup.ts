import { endProcesses, type ProcessId } from '../../host/process.ts';
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
