import { readFileSync } from 'node:fs';

const LISTEN = '0A';

/** TCP ports on which somebody listens in the network namespace of a process (proc(5), net/tcp). */
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

function readTable(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(1);
  } catch {
    // The process has ended, or the machine has no IPv6.
    return [];
  }
}
