// The record of a lab on disk: its topology and its processes.
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { replaceFile } from '../../control/files.ts';
import { KubetunError } from '../../datapath/error.ts';
import { closeFile, lockFile, openFile } from '../../datapath/io/sys.ts';
import type { ProcessId } from '../host/process.ts';
import { recordPath } from '../places/paths.ts';
import type { Topology } from '../topology/topology.ts';

export interface LabRecord {
  lab: string;
  topology: Topology;
  /** RFC 3339. */
  created: string;
  /**
   * A lab whose phase is `starting` and whose maker has ended is left over from a killed `lab up`.
   */
  phase: 'starting' | 'up';
  /** The process of `lab up` until the lab is up, then null. */
  maker: ProcessId | null;
  supervisor: ProcessId | null;
  /** The API server keeps nothing on disk. */
  ephemeral: boolean;
  /** The server in the internet. */
  internet: ProcessId | null;
  /** The writer of its containers' logs. */
  logWriter: ProcessId | null;
  /** Port of the API server on loopback of the root namespace; 0 until it is known. */
  apiPort: number;
}

/** Null if there is no lab of that name. Throws KubetunError KT_LAB_RECORD. */
export function readRecord(lab: string): LabRecord | null {
  const path = recordPath(lab);
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LabRecord;
  } catch (error) {
    throw new KubetunError(
      'KT_LAB_RECORD',
      `${path} cannot be read`,
      'remove what is left of the lab with scripts/kubetun lab down',
      { cause: error },
    );
  }
}

export function writeRecord(record: LabRecord): void {
  replaceFile(recordPath(record.lab), `${JSON.stringify(record, null, 2)}\n`);
}

/** The record of an existing lab. Throws KubetunError KT_LAB_DOWN. */
export function requireLab(lab: string): LabRecord {
  const record = readRecord(lab);
  if (record) return record;
  throw new KubetunError(
    'KT_LAB_DOWN',
    `lab ${lab} is not up`,
    'start it with scripts/kubetun lab up, or name another one with --lab',
  );
}

const LOCK_MS_MAX = 5000;
const POLL_MS = 2;

/**
 * Changes fields of a lab's record, if it exists. Concurrent changes of other processes are kept.
 * Throws KubetunError KT_LAB_RECORD, or the system's error.
 */
export function updateRecord(lab: string, change: Partial<LabRecord>): void {
  if (!existsSync(recordPath(lab))) return;
  const lock = lockRecord(lab);
  try {
    const record = readRecord(lab);
    if (record) writeRecord({ ...record, ...change });
  } finally {
    closeFile(lock);
  }
}

/**
 * Locks the record. The kernel releases the lock when its holder ends. The lock is on the folder,
 * because the record's file is replaced.
 */
function lockRecord(lab: string): number {
  const folder = dirname(recordPath(lab));
  const fd = openFile(folder, { readOnly: true });
  const until = Date.now() + LOCK_MS_MAX;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (!lockFile(fd)) {
    if (Date.now() > until) {
      closeFile(fd);
      throw new KubetunError(
        'KT_LAB_RECORD',
        `the record of lab ${lab} has been locked for more than ${LOCK_MS_MAX / 1000} s`,
        `find the process with fuser ${folder}, and end it`,
      );
    }
    Atomics.wait(pause, 0, 0, POLL_MS);
  }
  return fd;
}
