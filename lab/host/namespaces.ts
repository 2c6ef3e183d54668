// Which network namespaces belong to a lab.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { NETNS_DIR, namespacePath } from '../places/names.ts';
import { labNames } from '../places/paths.ts';

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
