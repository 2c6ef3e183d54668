// A lock that allows one agent per network namespace: two would undo each other's rules.
import { readFileSync, statSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';
import { closeFile, lockFile, openFile } from '../../datapath/io/sys.ts';

/**
 * The lock is on the namespace itself, because mounts of a container could hide a file. The kernel
 * releases it at the end of the process, so a stopped or hanging process keeps it.
 */
const NAMESPACE = '/proc/self/ns/net';

/** The other process that holds this network namespace. Null for none. */
export function readAgent(): number | null {
  const holder = holderOf(NAMESPACE);
  return holder === process.pid ? null : holder;
}

/** Claims this network namespace until the process ends. Throws KubetunError KT_AGENT_ACTIVE. */
export function claimNode(node: string): void {
  if (holderOf(NAMESPACE) === process.pid) return;
  const fd = openFile(NAMESPACE, { readOnly: true });
  if (lockFile(fd)) return;
  closeFile(fd);
  throw new KubetunError(
    'KT_AGENT_ACTIVE',
    // The kernel does not list locks of other process namespaces, such as those of containers.
    `another agent runs in the network namespace of ${node}; its process is not visible from here`,
    'stop that agent and the service that restarts it, then repeat the command',
  );
}

/** The process that holds flock(2) on a file, by the kernel's list of locks; null for none. */
export function holderOf(path: string): number | null {
  try {
    const { ino } = statSync(path);
    const line = new RegExp(`FLOCK +ADVISORY +WRITE +(\\d+) +\\S+:${ino} `);
    const found = line.exec(readFileSync('/proc/locks', 'utf8'));
    return found ? Number(found[1]) : null;
  } catch {
    return null;
  }
}
