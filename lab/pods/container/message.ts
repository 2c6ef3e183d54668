// Files of a container on this machine: the message that it leaves when it ends
// (terminationMessagePath), and its input.
import { chmodSync, closeSync, existsSync, openSync, readSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../../control/files.ts';
import type { Container } from '../../../control/kube/kinds.ts';
import { makeFifo } from '../../../datapath/io/sys.ts';
import type { Mount } from '../given/mounts.ts';
import { volumesFolder } from '../given/volumes.ts';

const PATH_DEFAULT = '/dev/termination-log';
/** A kubelet's MaxContainerTerminationMessageLength. */
const BYTES_MAX = 4096;
const INPUT_MODE = 0o600;

/** The file on this machine. No volume has a name with a dot. */
export function messageFile(stateDir: string, uid: string, container: string): string {
  return join(volumesFolder(stateDir, uid), '.messages', container);
}

/** Empties the file for a start of the container, and returns its mount. */
export function mountMessage({ terminationMessagePath }: Container, source: string): Mount {
  makeFolder(dirname(source));
  writeFileSync(source, '');
  // The container may run as any user.
  chmodSync(source, 0o666);
  return { source, target: terminationMessagePath || PATH_DEFAULT, readOnly: false };
}

/** The FIFO that a container with `stdin` reads. */
export function inputFile(stateDir: string, uid: string, container: string): string {
  return join(volumesFolder(stateDir, uid), '.input', container);
}

/** Makes the FIFO unless it exists. Returns its path. */
export function makeInput(path: string): string {
  makeFolder(dirname(path));
  if (!existsSync(path)) makeFifo(path, INPUT_MODE);
  return path;
}

/** What the container wrote. '' if it wrote nothing. */
export function readMessage(file: string): string {
  const bytes = Buffer.alloc(BYTES_MAX);
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch {
    // The container of an earlier version of the lab has no such file.
    return '';
  }
  try {
    return bytes.toString('utf8', 0, readSync(descriptor, bytes));
  } finally {
    closeSync(descriptor);
  }
}
