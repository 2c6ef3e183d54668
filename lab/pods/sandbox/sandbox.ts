// A pod's PID 1, and the containers that are started beside it.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
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
    ...[...rootArgs(files, '/', []), ...withDefaults(['catatonit', '-P'])],
  ];
  const parent = spawn('/usr/bin/nsenter', args, {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    cwd: '/',
  });
  parent.unref();
  await untilRooted(parent);
  const found = await firstChild(parent);
  if (found) return found;
  throw new KubetunError(
    'KT_SANDBOX',
    `the sandbox in ${netns} does not start`,
    'install nsenter, unshare and catatonit',
  );
}

export interface ContainerStart extends RootFiles {
  sandbox: ProcessId;
  argv: string[];
  env: Record<string, string>;
  workingDir: string;
  logName: string;
  mounts: Mount[];
}

/** Arguments of root.sh, up to the command. */
function rootArgs(files: RootFiles, workingDir: string, mounts: Mount[]): string[] {
  const { hostname, hosts, resolv, projectRoot, stateDir } = files;
  makeFolder(join(stateDir, 'scratch'));
  const lines = mounts.map(
    ({ readOnly, source, target }) => `${readOnly ? 'ro' : 'rw'}\t${source}\t${target}`,
  );
  return [
    ...[ROOT_SCRIPT, stateDir, projectRoot, hostname, hosts, resolv, workingDir],
    ...[lines.join('\n'), '--'],
  ];
}

/** A started container. `parent` ends when it does, with its exit code. */
export interface Container {
  parent: ChildProcess;
  process: ProcessId | null;
}

/** Starts a container in a sandbox. Resolves when the container has its own root, or has ended. */
export async function startContainer(start: ContainerStart): Promise<Container> {
  const args = [
    ...[`--target=${start.sandbox.pid}`, '--net', '--uts', '--ipc', '--pid', '--'],
    ...['/usr/bin/unshare', '--mount', '--', '/bin/sh'],
    ...[...rootArgs(start, start.workingDir, start.mounts), ...start.argv],
  ];
  const log = await openLog(start.stateDir, start.logName);
  try {
    const parent = spawn('/usr/bin/nsenter', args, {
      detached: true,
      stdio: ['ignore', log, log, 'pipe'],
      env: start.env,
      cwd: '/',
    });
    await untilRooted(parent);
    return { parent, process: await firstChild(parent) };
  } finally {
    closeSync(log);
  }
}

/**
 * Waits until a container has its own root. Before that it runs in the machine's root, where `exec`
 * must not enter.
 */
function untilRooted(parent: ChildProcess): Promise<void> {
  const told = parent.stdio[3] as Readable;
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      told.destroy();
      resolve();
    };
    const timer = setTimeout(done, CHILD_MS_MAX);
    told.once('data', done);
    parent.once('exit', done);
    parent.once('error', done);
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
