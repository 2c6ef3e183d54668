// Processes by identity. A process id alone may have passed to another process.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process id and its start time (clock ticks since boot), which together are unique. */
export interface ProcessId {
  pid: number;
  start: number;
}

/** Identity of a running process. Null if there is none, or only a zombie. */
export function identify(pid: number): ProcessId | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command may contain spaces and brackets, so fields count from the last bracket (proc(5)).
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

/** Arguments of a process, each followed by a NUL. Empty if it has ended. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Sends a signal to exactly this process. False if it has ended. */
export function signal(target: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Sends SIGTERM, waits, and kills the processes that are left. Resolves when all have ended. */
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

/** Processes in one of these network namespaces (`net:[inode]`), except this process. */
export function processesInNamespaces(namespaces: ReadonlySet<string>): ProcessId[] {
  return findProcesses((pid) => namespaces.has(readlinkSync(`/proc/${pid}/ns/net`)));
}

/** Processes with this variable in their environment, except this process. */
export function processesWithVariable(name: string, value: string): ProcessId[] {
  const wanted = `\0${name}=${value}\0`;
  return findProcesses((pid) =>
    `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}\0`.includes(wanted),
  );
}

/** Running processes that match. */
function findProcesses(matches: (pid: number) => boolean): ProcessId[] {
  const found: ProcessId[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // Identified first: if the id passes to another process meanwhile, the identity matches no
    // process.
    const target = identify(pid);
    try {
      if (target && matches(pid)) found.push(target);
    } catch {
      // It has ended.
    }
  }
  return found;
}
