// Runs a command inside a running container, for probes and hooks.
import { type ChildProcess, spawn } from 'node:child_process';
import { lstatSync, readFileSync } from 'node:fs';
import { isAlive, type ProcessId } from '../../host/process.ts';
import { withCapabilitiesOf } from '../sandbox/capabilities.ts';
import type { ActionResult } from './network.ts';

/** Output beyond this is dropped (pkg/probe/exec). */
const OUTPUT_BYTES_MAX = 10 * 1024;
const NAMESPACES = ['--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd'];

/**
 * Runs a command in the namespaces, root and working directory of a container, with the container's
 * environment. It is good if it exits with 0 in time. After its timeout it is killed. Never
 * rejects.
 */
export function execInside(
  container: ProcessId,
  command: string[],
  timeoutMs: number,
): Promise<ActionResult> {
  return new Promise((resolve) => {
    let output = '';
    let late = false;
    const missing = missingProgram(container, command);
    if (missing !== null) return resolve({ good: false, output: missing });
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
      // A process that left the group may hold the pipes open forever.
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
      const line = JSON.stringify(command.join(' '));
      resolve({ good: false, output: `command ${line} timed out after ${timeoutMs / 1000} s` });
    });
  });
}

/**
 * The environment of a container. It is read from the container's parent, which was started with
 * the same environment and waits for the container.
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
    // The container has ended, so the command will fail too.
    return {};
  }
}

/** The command line that runs `command` in a container with the container's capabilities. */
export function commandInside({ pid }: ProcessId, command: string[]): string[] {
  const inside = withCapabilitiesOf(pid, command);
  return ['/usr/bin/nsenter', `--target=${pid}`, ...NAMESPACES, '--', ...inside];
}

/**
 * Why the program of a command cannot run in a container, in the words of a container runtime. Null
 * if the program exists, or if the container has ended.
 */
export function missingProgram(container: ProcessId, [program = '']: string[]): string | null {
  const { pid } = container;
  const exists = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  const { PATH = '' } = environmentOf(container);
  let why = 'executable file not found in $PATH';
  let isThere: boolean;
  if (program.includes('/')) {
    why = `stat ${program}: no such file or directory`;
    const from = program.startsWith('/') ? 'root' : 'cwd/';
    isThere = exists(`/proc/${pid}/${from}${program}`);
  } else {
    isThere = PATH.split(':').some((folder) => exists(`/proc/${pid}/root${folder}/${program}`));
  }
  return isThere || !isAlive(container) ? null : `exec: ${JSON.stringify(program)}: ${why}`;
}

/** Kills a command and its process group. */
export function endCommand({ pid, exitCode, signalCode }: ChildProcess): void {
  // After it has ended, its process id may belong to another process.
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
