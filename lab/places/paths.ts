// Paths of a lab's files, and the labs of this machine.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stateDir } from '../../control/places.ts';
import { KubetunError } from '../../datapath/error.ts';
import { NETNS_DIR, namespacePath } from '../places/names.ts';

export const PROJECT_ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Entry of the supervisor's process, relative to the project's root. */
export const SUPERVISOR_ENTRY = 'lab/supervisor/main.ts';

export const RECORD_NAME = 'lab.json';

/** The lab's record. It is written before anything is made and removed last. */
export function recordPath(lab: string): string {
  return join(stateDir(lab), RECORD_NAME);
}

/** Names that a lab's folder may contain. */
const LAB_FILES = /^((lab\.json|kubeconfig)(\.new)?|pods\.socket|.+\.sock|supervisor\.log(\.1)?)$/;
const LAB_FOLDERS = /^(agents|api|arenas?|logs|pki|pods|scratch|volumes)$/;

/**
 * True if the lab's folder exists and is really a lab's. An empty folder counts as one that was
 * just made.
 */
export function holdsLab(lab: string): boolean {
  const folder = stateDir(lab);
  if (!existsSync(folder)) return false;
  const names = readdirSync(folder);
  if (names.includes(RECORD_NAME)) return true;
  return names.every((name) => LAB_FILES.test(name) || LAB_FOLDERS.test(name));
}

/** Refuses a state folder that contains anything but a lab. Throws KubetunError KT_RUN_DIR. */
export function requireOwnFolder(lab: string): void {
  if (!existsSync(stateDir(lab)) || holdsLab(lab)) return;
  throw new KubetunError(
    'KT_RUN_DIR',
    `${stateDir(lab)} contains files that are not a lab's`,
    'choose another name with --lab, or another folder with KUBETUN_RUN_DIR',
    { usage: true },
  );
}

export { kubeconfigOf as kubeconfigPath } from '../../control/places.ts';

/** Kubeconfig of the agents, which reach the API server over the fabric. */
export function agentKubeconfigPath(lab: string): string {
  return join(stateDir(lab), 'agents', 'kubeconfig');
}

/** Socket on which the supervisor serves streams of pods: logs, commands, ports. */
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
 * Refuses a name that extends another lab's name: of `a` and `a-b`, either could own `a-b-c`.
 * Throws KubetunError KT_LAB_NAME.
 */
export function requireOwnPrefix(lab: string): void {
  const other = labNames().find((o) => o.startsWith(`${lab}-`) || lab.startsWith(`${o}-`));
  if (other === undefined) return;
  throw new KubetunError(
    'KT_LAB_NAME',
    `lab ${lab} cannot run beside lab ${other}: one name begins with the other and a -`,
    'choose another name with --lab',
  );
}

/** Names of all labs with a state folder on this machine. */
export function labNames(): string[] {
  const folder = dirname(stateDir('any'));
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/**
 * Names of a lab's network namespaces, also of an incomplete lab. Those of a lab with a longer name
 * are left out.
 */
export function namespacesOfLab(lab: string): string[] {
  if (!existsSync(NETNS_DIR)) return [];
  const others = labNames().filter((other) => other.startsWith(`${lab}-`));
  return readdirSync(NETNS_DIR)
    .filter((name) => name.startsWith(`${lab}-`))
    .filter((name) => !others.some((other) => name.startsWith(`${other}-`)))
    .sort();
}

/** The target of /proc/PID/ns/net for processes in the namespace. */
export function namespaceLink(name: string): string {
  return `net:[${statSync(namespacePath(name)).ino}]`;
}
