// Changes of a lab's record by several processes: `lab up`, and the supervisor that it starts.
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { KubetunError } from '../../datapath/error.ts';
import { closeFile, lockFile, openFile } from '../../datapath/io/sys.ts';
import { recordPath } from '../places/paths.ts';
import { type LabRecord, readRecord, writeRecord } from './record.ts';

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
