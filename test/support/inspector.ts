// Runs code in a worker thread of a running process, by the inspector that Node opens on SIGUSR1.
// Tests end and block threads with it, because a thread gets no signals of its own. The process
// needs INSPECTED in its environment.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { clientCommand } from './lab.ts';

/** Any free port, so that the processes of a lab do not compete for the default one. */
export const INSPECTED = { NODE_OPTIONS: '--inspect-port=127.0.0.1:0' };

const LISTEN_MS_MAX = 10_000;

/** A worker thread. */
export interface WorkerThread {
  pid: number;
  /** The log of the process: it has the inspector's address. */
  logPath: string;
  /** A part of the URL of the worker's script. */
  script: string;
}

/** The last inspector address of each process. */
const inspectors = new Map<number, string>();

/**
 * Runs an expression in a worker. Resolves when it was sent: one that ends the thread has no
 * answer.
 */
export async function inWorker(worker: WorkerThread, expression: string): Promise<void> {
  const known = inspectors.get(worker.pid);
  if (known && (await evaluate(known, worker, expression))) return;
  const url = await openInspector(worker);
  inspectors.set(worker.pid, url);
  if (await evaluate(url, worker, expression)) return;
  throw new Error(`process ${worker.pid} has no worker ${worker.script}`);
}

async function openInspector({ pid, logPath }: WorkerThread): Promise<string> {
  const before = listening(logPath).length;
  process.kill(pid, 'SIGUSR1');
  const end = Date.now() + LISTEN_MS_MAX;
  while (Date.now() < end) {
    const url = listening(logPath)[before];
    if (url) return url;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`process ${pid} opens no inspector, according to ${logPath}`);
}

function listening(logPath: string): string[] {
  const lines = readFileSync(logPath, 'utf8').matchAll(/Debugger listening on (ws:\S+)/g);
  return [...lines].map(([, url]) => url!);
}

/** An inspector listens on loopback of its process's network namespace. */
function evaluate(url: string, { pid, script }: WorkerThread, expression: string) {
  const command = clientCommand('in-worker', url, script, expression);
  return new Promise<boolean>((resolve) => {
    execFile('nsenter', [`--net=/proc/${pid}/ns/net`, ...command], (error) => resolve(!error));
  });
}
