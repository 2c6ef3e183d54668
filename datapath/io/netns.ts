import { closeSync, openSync } from 'node:fs';
import { listenTcp, openTcp, setNetworkNamespace } from './sys.ts';

const OWN_NAMESPACE = '/proc/thread-self/ns/net';

/**
 * Moves the calling thread into the network namespace at `path` for good. New sockets are made
 * there; existing sockets stay in their namespace. Throws SystemError.
 */
export function enterNamespace(path: string): void {
  const fd = openSync(path, 'r');
  try {
    setNetworkNamespace(fd, path);
  } finally {
    closeSync(fd);
  }
}

/**
 * Runs `work` with the calling thread in the network namespace at `path`, then returns to its own.
 * `work` must be synchronous: anything that Node does later (a delayed bind, a look-up) would
 * happen in the wrong namespace.
 */
export function inNamespace<T>(path: string, work: () => T): T {
  const home = openSync(OWN_NAMESPACE, 'r');
  try {
    enterNamespace(path);
    return work();
  } finally {
    setNetworkNamespace(home, OWN_NAMESPACE);
    closeSync(home);
  }
}

/** A listening IPv4 TCP socket inside another namespace, as a descriptor for `server.listen`. */
export function listenInNamespace(path: string, host: string, port: number): number {
  const address = host.split('.').map(Number);
  return inNamespace(path, () => listenTcp(address, port));
}

/** An unconnected IPv4 TCP socket inside another namespace, as a descriptor for `new Socket`. */
export function openInNamespace(path: string): number {
  return inNamespace(path, () => openTcp(path));
}
