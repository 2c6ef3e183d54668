// Names of labs, and the paths at which agents and commands find each other.
import { existsSync, readdirSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { KubetunError } from '../datapath/error.ts';

/** The gateway between a lab's nodes and its internet. It is no Node, but it has a datapath. */
export const CLOUD = 'cloud';
/** A folder of mode 0700, so that no other user can prepare files in it. */
export const ARENA_DIR = '/dev/shm/kubetun';
const LAB_DEFAULT = 'lab';
const LAB_NAME = /^[a-z0-9][a-z0-9-]{0,11}$/;

/** The lab of a command: `lab` unless a name is given. Throws KubetunError KT_LAB_NAME. */
export function requireLabName(lab = LAB_DEFAULT): string {
  if (LAB_NAME.test(lab)) return lab;
  throw new KubetunError(
    'KT_LAB_NAME',
    `${JSON.stringify(lab)} is not a valid lab name`,
    'use 1 to 12 of a-z, 0-9 and -, beginning with a letter or digit',
    { usage: true },
  );
}

/** The option that names a lab, for commands in messages. Empty for the default lab. */
export function labFlag(lab: string): string {
  return lab === LAB_DEFAULT ? '' : ` --lab ${lab}`;
}

/** Folder of a lab's state, which is removed with the lab. Throws KubetunError KT_RUN_DIR. */
export function stateDir(lab: string): string {
  const folder = process.env.KUBETUN_RUN_DIR ?? '/run/kubetun';
  if (isAbsolute(folder)) return join(folder, lab);
  throw new KubetunError(
    'KT_RUN_DIR',
    `KUBETUN_RUN_DIR is ${JSON.stringify(folder)}, which is not an absolute path`,
    'unset it, or give a path that begins with /',
    { usage: true },
  );
}

/** Admin socket of a node's agent. */
export function socketOf(lab: string, node: string): string {
  return join(stateDir(lab), `${node}.sock`);
}

/** Kubeconfig for clients in the root namespace. */
export function kubeconfigOf(lab: string): string {
  return join(stateDir(lab), 'kubeconfig');
}

/** Arena of a node's datapath. */
export function arenaOf(lab: string, node: string): string {
  return join(ARENA_DIR, `${lab}-${node}`);
}

/** Nodes of a lab whose agent has run, sorted by name, then the cloud. */
export function nodesOf(lab: string): string[] {
  const folder = stateDir(lab);
  if (!existsSync(folder)) return [];
  const sockets = readdirSync(folder).filter((name) => name.endsWith('.sock'));
  const names = sockets.map((name) => name.slice(0, -'.sock'.length)).sort();
  return [...names.filter((name) => name !== CLOUD), ...names.filter((name) => name === CLOUD)];
}
