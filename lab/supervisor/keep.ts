// Processes of a lab that outlive its supervisor: found again by the lab's record, started again
// when they end.
import type { ChildProcess } from 'node:child_process';
import { identify, isAlive, processesWithVariable } from '../host/process.ts';
import { type LabRecord, readRecord } from '../state/record.ts';
import { updateRecord } from '../state/update.ts';

const LOOK_MS = 1000;
/**
 * Names a kept process in its environment: a supervisor may have been killed before it could record
 * it.
 */
const MARK = 'KUBETUN_KEPT';

type Start = (mark: NodeJS.ProcessEnv) => ChildProcess;

/**
 * Keeps one process of a lab running. One of an earlier supervisor goes on. `field` of the record
 * names the process; `start` adds the mark that it is given to the environment of the process.
 * Returns what stops the look.
 */
export function keepProcess(
  lab: string,
  field: 'internet' | 'logWriter',
  start: Start,
  onError: (error: Error) => void,
): () => void {
  const look = () => {
    try {
      const record = readRecord(lab);
      // Without a record the lab is being ended, or lost it: another process would be started each
      // time.
      if (record && !runs(record, field)) launch(lab, field, start, onError);
    } catch (error) {
      onError(error as Error);
    }
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => clearInterval(timer);
}

function runs(record: LabRecord, field: 'internet' | 'logWriter'): boolean {
  const process = record[field];
  return process != null && isAlive(process);
}

function launch(
  lab: string,
  field: 'internet' | 'logWriter',
  start: Start,
  onError: (error: Error) => void,
): void {
  const value = `${lab}/${field}`;
  const [orphan] = processesWithVariable(MARK, value);
  if (orphan) return updateRecord(lab, { [field]: orphan });
  const child = start({ [MARK]: value });
  child.once('error', onError);
  child.unref();
  try {
    updateRecord(lab, { [field]: identify(child.pid ?? -1) });
  } catch (error) {
    // Without a record another one would be started beside it.
    child.kill('SIGKILL');
    throw error;
  }
}
