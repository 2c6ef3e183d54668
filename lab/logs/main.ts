// Entry of the process that writes the logs of all containers of a lab: `main.ts LAB STATE`. It
// outlives the supervisor.
import { watch } from 'node:fs';
import { lockLab } from '../state/lock.ts';
import { openRuns, pipePath, pipesFolder } from './files.ts';
import { writeLog } from './writer.ts';

/** How often pipes are looked for that no event has told of. */
const LOOK_MS = 1000;

const [lab = '', stateDir = ''] = process.argv.slice(2);
/** Paths of pipes that are read. */
const read = new Set<string>();

function look(): void {
  for (const run of openRuns(stateDir)) {
    const path = pipePath(run);
    if (read.has(path)) continue;
    read.add(path);
    try {
      writeLog(run, () => read.delete(path));
    } catch {
      // Without room for a file, or without the container: it is tried again.
      read.delete(path);
    }
  }
}

// Two readers of a pipe would have half of a log each.
await lockLab(`${lab}/logs`, 0);
// The lab's folder may be lost while the lab lives.
process.on('uncaughtException', (error) => console.error(String(error)));
watch(pipesFolder(stateDir), look).on('error', () => {});
setInterval(look, LOOK_MS);
look();
