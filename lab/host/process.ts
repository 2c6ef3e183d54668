// Processes by identity: a process id alone may have been given to another process meanwhile.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * A process, and when it started (clock ticks since boot), which tells it from a later one of that
 * id.
 */
export interface ProcessId {
  pid: number;
  start: number;
}

/** Identity of a running process; null if there is none, or only the remains of one. */
export function identify(pid: number): ProcessId | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command may hold spaces and brackets: fields count from the last bracket (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return { pid, start: Number(fields[19]) };
  } catch {
    return null;
  }
}

export function isAlive(process: ProcessId): boolean {
  return identify(process.pid)?.start === process.start;
}

/** Arguments of a process, each ended by a NUL; empty if it has gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Sends a signal to this very process. False if it is gone. */
export function signal(target: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Asks processes to end, waits, and kills those that did not; resolves when all are gone. */
export async function endProcesses(targets: ProcessId[], graceMs: number): Promise<void> {
  for (const target of targets) signal(target, 'SIGTERM');
  await waitGone(targets, graceMs);
  for (const target of targets) signal(target, 'SIGKILL');
  await waitGone(targets, KILL_MS_MAX);
}

const KILL_MS_MAX = 5000;
const POLL_MS = 20;

async function waitGone(targets: ProcessId[], msMax: number): Promise<void> {
  const until = Date.now() + msMax;
  while (targets.some(isAlive) && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Processes whose network namespace is one of these (`net:[inode]`), except this one. */
export function processesInNamespaces(namespaces: ReadonlySet<string>): ProcessId[] {
  return findProcesses((pid) => namespaces.has(readlinkSync(`/proc/${pid}/ns/net`)));
}

/**
 * Processes that were started with a variable of this value in their environment, except this one.
 */
export function processesWithVariable(name: string, value: string): ProcessId[] {
  const wanted = `\0${name}=${value}\0`;
  return findProcesses((pid) =>
    `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}\0`.includes(wanted),
  );
}

/** Living processes that match. One that ends while it is looked at does not. */
function findProcesses(matches: (pid: number) => boolean): ProcessId[] {
  const found: ProcessId[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // Before the look: if the id goes to another process meanwhile, this identity is of none.
    const target = identify(pid);
    try {
      if (target && matches(pid)) found.push(target);
    } catch {
      // It has ended.
    }
  }
  return found;
}
