// The record of a lab on disk: what it is made of and which processes run it.
import { existsSync, readFileSync } from 'node:fs';
import { replaceFile } from '../../control/files.ts';
import { KubetunError } from '../../datapath/error.ts';
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
