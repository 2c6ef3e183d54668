// The process that writes the logs of all containers of a lab.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { makeFolder } from '../../control/files.ts';
import { stateDir } from '../../control/places.ts';
import { pipesFolder } from '../logs/files.ts';
import { PROJECT_ROOT } from '../places/paths.ts';
import { keepProcess } from './keep.ts';

const ENTRY = 'lab/logs/main.ts';

/** Returns what stops the look. */
export function keepLogWriter(lab: string, onError: (error: Error) => void): () => void {
  const start = (mark: NodeJS.ProcessEnv) => {
    makeFolder(pipesFolder(stateDir(lab)), 0o700);
    const flags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1'];
    return spawn(process.execPath, [...flags, join(PROJECT_ROOT, ENTRY), lab, stateDir(lab)], {
      ...{ detached: true, cwd: '/', stdio: ['ignore', 'inherit', 'inherit'] },
      env: { ...process.env, ...mark },
    });
  };
  return keepProcess(lab, 'logWriter', start, onError);
}
