import { readFileSync } from 'node:fs';
import type { Container } from '../../../control/kube/kinds.ts';

const LISTEN = '0A';
const POLL_MS = 10;

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
  while (goOn() && Date.now() < until) {
    const ports = listeningPorts(pid);
    if (wanted.every((port) => ports.has(port))) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
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
