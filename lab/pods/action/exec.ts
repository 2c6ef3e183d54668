// A command inside a container that runs: for probes and hooks.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { ProcessId } from '../../host/process.ts';
import { withCapabilitiesOf } from '../sandbox/capabilities.ts';
import type { ActionResult } from './network.ts';

/** More than this of a command's output is dropped (pkg/probe/exec). */
const OUTPUT_BYTES_MAX = 10 * 1024;
const NAMESPACES = ['--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd'];

/**
 * Runs a command in the namespaces, root and working directory of a container, with its
 * environment. Good if it ends with 0 within its time; what takes longer is killed. Never rejects.
 */
export function execInside(
  container: ProcessId,
  command: string[],
  timeoutMs: number,
): Promise<ActionResult> {
  return new Promise((resolve) => {
    let output = '';
    let late = false;
    const [file, ...args] = commandInside(container, command);
    const child = spawn(file!, args, {
      detached: true,
      env: environmentOf(container),
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
    });
    const timer = setTimeout(() => {
      late = true;
      endCommand(child);
      // What has left the group may hold the pipes open for ever.
      child.stdout.destroy();
      child.stderr.destroy();
    }, timeoutMs);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(0, OUTPUT_BYTES_MAX);
      });
    }
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ good: false, output: error.message });
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      if (!late) return resolve({ good: code === 0, output: output || `exit status ${code}` });
      const said = `command ${JSON.stringify(command.join(' '))} timed out after ${timeoutMs / 1000} s`;
      resolve({ good: false, output: said });
    });
  });
}

/**
 * The environment that a container was started with: its parent, which waits for it, was given the
 * same.
 */
export function environmentOf({ pid }: { pid: number }): Record<string, string> {
  try {
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    const text = readFileSync(`/proc/${parent}/environ`, 'utf8');
    const pairs = text.split('\0').filter((pair) => pair.includes('='));
    return Object.fromEntries(
      pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
  } catch {
    // It has ended, and so will the command.
    return {};
  }
}

/** The command line that runs another one in a container, with its capabilities. */
export function commandInside({ pid }: ProcessId, command: string[]): string[] {
  const inside = withCapabilitiesOf(pid, command);
  return ['/usr/bin/nsenter', `--target=${pid}`, ...NAMESPACES, '--', ...inside];
}

/** Kills a command, and what it has started and not let go of. */
export function endCommand({ pid, exitCode, signalCode }: ChildProcess): void {
  // Once it has ended its number may be another's.
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
