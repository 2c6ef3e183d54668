// Entry of the log writer: `main.ts LAB STATE`. It writes the logs of all containers of a lab, and
// outlives the supervisor.
import { watch } from 'node:fs';
import { lockLab } from '../state/lock.ts';
import { openRuns, pipePath, pipesFolder } from './files.ts';
import { writeLog } from './writer.ts';

/** Interval of the search for pipes without an event. */
const LOOK_MS = 1000;

const [lab = '', stateDir = ''] = process.argv.slice(2);
/** Pipes that are being read. */
const read = new Set<string>();

function look(): void {
  for (const run of openRuns(stateDir)) {
    const path = pipePath(run);
    if (read.has(path)) continue;
    read.add(path);
    try {
      writeLog(run, () => read.delete(path));
    } catch {
      // The disk is full, or the container is gone. It is tried again.
      read.delete(path);
    }
  }
}

// Two writers would each get half of a log.
await lockLab(`${lab}/logs`, 0);
// The lab's folder may be removed while the lab runs.
process.on('uncaughtException', (error) => console.error(String(error)));
watch(pipesFolder(stateDir), look).on('error', () => {});
setInterval(look, LOOK_MS);
look();
