// Where a lab keeps what: names of files below its state folder.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stateDir } from '../../control/places.ts';
import { KubetunError } from '../../datapath/error.ts';
import { NETNS_DIR, namespacePath } from '../places/names.ts';

export const PROJECT_ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Entry of the supervisor's process, below the project's root. */
export const SUPERVISOR_ENTRY = 'lab/supervisor/main.ts';

export const RECORD_NAME = 'lab.json';

/** What the lab is: written before anything is made, gone only when everything is. */
export function recordPath(lab: string): string {
  return join(stateDir(lab), RECORD_NAME);
}

/** Everything that a lab has in its folder. */
const LAB_FILES =
  /^(lab\.json(\.new)?|kubeconfig(\.new)?|pods\.socket|.+\.sock|supervisor\.log(\.1)?|agents|api|arenas?|logs|pki|pods|scratch|volumes)$/;

/**
 * True if a lab's folder is there, and really a lab's, also without its record: an empty one is
 * taken for one that was just made.
 */
export function holdsLab(lab: string): boolean {
  const folder = stateDir(lab);
  if (!existsSync(folder)) return false;
  const names = readdirSync(folder);
  return names.every((name) => LAB_FILES.test(name)) || names.includes(RECORD_NAME);
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

export { kubeconfigOf as kubeconfigPath } from '../../control/places.ts';

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

/**
 * Names of labs begin the names of what they own, so `a` and `a-b` could not tell whose `a-b-c` is.
 * Throws KubetunError KT_LAB_NAME.
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

/**
 * Names of a lab's network namespaces, also of half a lab; those of a lab whose name is longer are
 * not among them.
 */
export function namespacesOfLab(lab: string): string[] {
  if (!existsSync(NETNS_DIR)) return [];
  const others = labNames().filter((other) => other.startsWith(`${lab}-`));
  return readdirSync(NETNS_DIR)
    .filter((name) => name.startsWith(`${lab}-`))
    .filter((name) => !others.some((other) => name.startsWith(`${other}-`)))
    .sort();
}

/** What /proc/PID/ns/net says for a process that is inside. */
export function namespaceLink(name: string): string {
  return `net:[${statSync(namespacePath(name)).ino}]`;
}
