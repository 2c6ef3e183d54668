import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../lab/places/paths.ts';

/** A running `kubetun trace`. */
export interface Trace {
  text: () => string;
  /** Resolves when the command has ended. */
  ended: Promise<number | null>;
  stop: (signal?: NodeJS.Signals) => void;
}

export function startTrace(lab: string, ...words: string[]): Trace {
  const args = ['--lab', lab, 'trace', ...words];
  const child = spawn(join(PROJECT_ROOT, 'scripts/kubetun'), args, { stdio: 'pipe' });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { text: () => text, ended, stop: (signal = 'SIGINT') => child.kill(signal) };
}
