// The record of a lab on disk: what it is made of and which processes run it.
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
  /** `up` runs; `starting` was left behind if its maker is gone. */
  phase: 'starting' | 'up';
  /** The process of `lab up` until the lab is up, then nobody. */
  maker: ProcessId | null;
  supervisor: ProcessId | null;
  /** The API server forgets everything at its end. */
  ephemeral: boolean;
  /** The server in the internet. */
  internet: ProcessId | null;
  /** The writer of its containers' logs. */
  logWriter: ProcessId | null;
  /** Port of the API server on loopback of the root namespace; 0 until it is known. */
  apiPort: number;
}

/** Null if there is no lab of that name. */
export function readRecord(lab: string): LabRecord | null {
  const path = recordPath(lab);
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LabRecord;
  } catch (error) {
    throw new KubetunError(
      'KT_LAB_RECORD',
      `${path} cannot be read`,
      `remove what is left of the lab with scripts/kubetun lab down --lab ${lab}`,
      { cause: error },
    );
  }
}

export function writeRecord(record: LabRecord): void {
  replaceFile(recordPath(record.lab), `${JSON.stringify(record, null, 2)}\n`);
}

/** The record of a lab that is there. Throws KubetunError KT_LAB_DOWN. */
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
 * Changes some fields of a lab's record, if it is there. What another process changes at the same
 * time is kept. Throws KubetunError KT_LAB_RECORD, or the system's error.
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
 * A lock that the kernel takes back when its holder ends. The record itself is replaced, so its
 * folder is locked.
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
        `the record of lab ${lab} is locked by another process for more than ${LOCK_MS_MAX / 1000} s`,
        `find that process with fuser ${folder}, and end it`,
      );
    }
    Atomics.wait(pause, 0, 0, POLL_MS);
  }
  return fd;
}
