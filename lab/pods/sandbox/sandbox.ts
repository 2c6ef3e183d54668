// A pod's PID 1, and the containers that are started beside it.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { makeFolder } from '../../../control/files.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { identify, type ProcessId } from '../../host/process.ts';
import { openLog } from '../../logs/open.ts';
import { namespacePath } from '../../places/names.ts';
import type { Mount } from '../given/mounts.ts';
import { withDefaults } from './capabilities.ts';

const CHILD_MS_MAX = 10_000;
const POLL_MS = 5;
const ROOT_SCRIPT = new URL('./root.sh', import.meta.url).pathname;

/** Inputs for the root file system of a process. */
export interface RootFiles {
  hostname: string;
  hosts: string;
  resolv: string;
  projectRoot: string;
  stateDir: string;
}

/**
 * Starts PID 1 of a pod in new PID, UTS and IPC namespaces and in the pod's network namespace. Its
 * root is like a container's, so `/proc/1/root` leads to no file of the machine. When PID 1 ends,
 * everything in the pod ends. Throws KubetunError KT_SANDBOX.
 */
export async function startSandbox(netns: string, files: RootFiles): Promise<ProcessId> {
  const setUp = 'printf %s "$1" >/proc/sys/kernel/hostname && shift && exec /bin/sh "$@"';
  const args = [
    `--net=${namespacePath(netns)}`,
    ...['/usr/bin/unshare', '--mount', '--uts', '--ipc', '--pid', '--fork', '--'],
    ...['/bin/sh', '-c', setUp, 'sandbox', files.hostname],
    ...[...rootArgs(PID_1_ROOT, files), ...withDefaults(['catatonit', '-P'])],
  ];
  const parent = spawn('/usr/bin/nsenter', args, {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    cwd: '/',
  });
  parent.unref();
  let why = '';
  try {
    await untilRooted(parent);
    const found = await firstChild(parent);
    if (found) return found;
  } catch (error) {
    why = `: ${(error as Error).message}`;
  }
  throw new KubetunError(
    'KT_SANDBOX',
    `the sandbox in ${netns} does not start${why}`,
    'install nsenter, unshare and catatonit',
  );
}

/** What differs between the roots of the containers of a pod. */
export interface RootShape {
  workingDir: string;
  mounts: Mount[];
  /** Links to programs: path in the container -> path that it leads to. */
  links: Record<string, string>;
  isReadOnly: boolean;
  /** The program of the container. It must exist. */
  program: string;
}

export interface ContainerStart extends RootFiles, RootShape {
  sandbox: ProcessId;
  argv: string[];
  env: Record<string, string>;
  logName: string;
  /** Path of a FIFO for its input, which stays open and empty. Null for none. */
  input: string | null;
}

const PID_1_ROOT: RootShape = {
  ...{ workingDir: '/', mounts: [], links: {}, isReadOnly: false, program: 'catatonit' },
};

/** The root of a container cannot be made, or its program does not exist. */
export class RootError extends Error {}

/** Arguments of root.sh, up to the command. */
function rootArgs(shape: RootShape, files: RootFiles): string[] {
  const { hostname, hosts, resolv, projectRoot, stateDir } = files;
  const { workingDir, mounts, links, isReadOnly, program } = shape;
  makeFolder(join(stateDir, 'scratch'));
  const lines = mounts.map(
    ({ readOnly, source, target }) => `${readOnly ? 'ro' : 'rw'}\t${source}\t${target}`,
  );
  const linkLines = Object.entries(links).map(([path, target]) => `${path}\t${target}`);
  return [
    ...[ROOT_SCRIPT, stateDir, projectRoot, hostname, hosts, resolv, workingDir],
    ...[lines.join('\n'), linkLines.join('\n'), isReadOnly ? 'ro' : 'rw', program, '--'],
  ];
}

/** A started container. `parent` ends when it does, with its exit code. */
export interface Container {
  parent: ChildProcess;
  process: ProcessId | null;
}

/**
 * Starts a container in a sandbox. Resolves when the container has its own root. Rejects with
 * RootError if it gets none.
 */
export async function startContainer(start: ContainerStart): Promise<Container> {
  const args = [
    ...[`--target=${start.sandbox.pid}`, '--net', '--uts', '--ipc', '--pid', '--'],
    ...['/usr/bin/unshare', '--mount', '--', '/bin/sh'],
    ...[...rootArgs(start, start), ...start.argv],
  ];
  const log = await openLog(start.stateDir, start.logName);
  // The container has both ends, so that the input outlives this process.
  const input = start.input === null ? null : openSync(start.input, 'r+');
  try {
    const parent = spawn('/usr/bin/nsenter', args, {
      detached: true,
      stdio: [input ?? 'ignore', log, log, 'pipe'],
      env: start.env,
      cwd: '/',
    });
    await untilRooted(parent);
    return { parent, process: await firstChild(parent) };
  } finally {
    closeSync(log);
    if (input !== null) closeSync(input);
  }
}

/**
 * Waits until a container has its own root. Before that it runs in the machine's root, where `exec`
 * must not enter. Rejects with RootError and the reason of root.sh.
 */
function untilRooted(parent: ChildProcess): Promise<void> {
  const told = parent.stdio[3] as Readable;
  return new Promise((resolve, reject) => {
    let text = '';
    const settle = (error: Error | null) => {
      clearTimeout(timer);
      told.destroy();
      if (error) reject(error);
      else resolve();
    };
    const fail = (why: string) => settle(new RootError(why.trim().replaceAll(/\s*\n\s*/g, '; ')));
    const timer = setTimeout(() => {
      // Otherwise the next attempt would run beside it.
      if (parent.pid !== undefined) process.kill(-parent.pid, 'SIGKILL');
      fail(`no root within ${CHILD_MS_MAX / 1000} s`);
    }, CHILD_MS_MAX);
    told.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.endsWith('ok\n')) settle(null);
    });
    told.once('end', () => fail(text || 'the container ended before it had a root'));
    parent.once('error', (error) => fail(error.message));
  });
}

/** The first child of a process that is about to fork. Null if the process ends first. */
async function firstChild(parent: ChildProcess): Promise<ProcessId | null> {
  let failed = false;
  parent.once('error', () => {
    failed = true;
  });
  const until = Date.now() + CHILD_MS_MAX;
  while (!failed && parent.exitCode === null && parent.signalCode === null) {
    const child = childOf(parent.pid ?? -1);
    if (child || Date.now() > until) return child;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return null;
}

function childOf(pid: number): ProcessId | null {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return first ? identify(Number(first)) : null;
  } catch {
    return null;
  }
}
