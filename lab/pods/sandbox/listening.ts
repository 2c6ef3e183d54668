import { readFileSync } from 'node:fs';
import type { Container } from '../../../control/kube/kinds.ts';

const LISTEN = '0A';
/** Each look costs milliseconds of CPU time: the kernel walks its whole hash of sockets. */
const LOOK_MS_MIN = 10;
const LOOK_MS_MAX = 80;

/** TCP ports with a listener in the network namespace of a process (proc(5), net/tcp). */
export function listeningPorts(pid: number): Set<number> {
  const ports = new Set<number>();
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readTable(`/proc/${pid}/net/${table}`)) {
      const [, local, , state] = line.trim().split(/\s+/);
      if (state === LISTEN && local) ports.add(Number.parseInt(local.split(':')[1]!, 16));
    }
  }
  return ports;
}

/** Resolves when all these ports have a listener, the time is over, or `goOn` returns false. */
export async function untilListening(
  pid: number,
  wanted: number[],
  msMax: number,
  goOn: () => boolean,
): Promise<void> {
  const until = Date.now() + msMax;
  for (let ms = LOOK_MS_MIN; goOn() && Date.now() < until; ms = Math.min(2 * ms, LOOK_MS_MAX)) {
    const ports = listeningPorts(pid);
    if (wanted.every((port) => ports.has(port))) return;
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}

/** TCP ports that a container declares. */
export function declaredPorts({ ports = [] }: Container): number[] {
  return ports
    .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
    .map(({ containerPort }) => containerPort);
}

function readTable(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(1);
  } catch {
    // The process has ended, or the machine has no IPv6.
    return [];
  }
}
