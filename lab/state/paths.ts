// Where a lab keeps what: names of files below its state folder.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stateDir } from '../../control/cli/options.ts';
import { KubetunError } from '../../datapath/error.ts';

export const PROJECT_ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

export const RECORD_NAME = 'lab.json';

/** What the lab is: written before anything is made, gone only when everything is. */
export function recordPath(lab: string): string {
  return join(stateDir(lab), RECORD_NAME);
}

/** True if a lab's folder is there, and really a lab's: an empty one is taken for one that was just made. */
export function holdsLab(lab: string): boolean {
  const folder = stateDir(lab);
  if (!existsSync(folder)) return false;
  const names = readdirSync(folder);
  return names.length === 0 || names.some((name) => name.startsWith(RECORD_NAME));
}

/** Makes sure that nothing but a lab lies where a lab is to lie. Throws KubetunError KT_RUN_DIR. */
export function requireOwnFolder(lab: string): void {
  if (!existsSync(stateDir(lab)) || holdsLab(lab)) return;
  throw new KubetunError(
    'KT_RUN_DIR',
    `${stateDir(lab)} holds something that is no lab`,
    'choose another name with --lab, or another folder with KUBETUN_RUN_DIR',
    { usage: true },
  );
}

export { kubeconfigOf as kubeconfigPath } from '../../control/cli/options.ts';

/** The same for agents, which reach the API server over the fabric. */
export function agentKubeconfigPath(lab: string): string {
  return join(stateDir(lab), 'agents', 'kubeconfig');
}

/** Where the supervisor answers for the pods: logs, commands, ports. */
export function kubeletSocketPath(lab: string): string {
  return join(stateDir(lab), 'pods.socket');
}

export function supervisorLogPath(lab: string): string {
  return join(stateDir(lab), 'supervisor.log');
}

export function agentLogPath(lab: string, node: string): string {
  return join(stateDir(lab), 'agents', `${node}.log`);
}

export function internetLogPath(lab: string): string {
  return join(stateDir(lab), 'internet.log');
}

/**
 * Names of labs begin the names of what they own, so `a` and `a-b` could not tell whose `a-b-c` is. Throws
 * KubetunError KT_LAB_NAME.
 */
export function requireOwnPrefix(lab: string): void {
  const other = labNames().find((o) => o.startsWith(`${lab}-`) || lab.startsWith(`${o}-`));
  if (other === undefined) return;
  throw new KubetunError(
    'KT_LAB_NAME',
    `lab ${lab} cannot live beside lab ${other}: their names begin alike`,
    'choose a name that does not continue the other one with a -',
  );
}

/** Every lab that has state on this machine. */
export function labNames(): string[] {
  const folder = dirname(stateDir('any'));
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}
