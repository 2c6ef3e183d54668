import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';
import { inNamespace } from '../../datapath/io/netns.ts';
import { namespacePath } from '../places/names.ts';

const ROOT = '/proc/sys/net';

/**
 * Writes values below /proc/sys/net of one network namespace. The kernel shows each thread the tree
 * of its namespace. Values that the kernel does not have are skipped. Throws KubetunError
 * KT_SYSCTL.
 */
export function writeSysctls(namespace: string, values: [path: string, value: string][]): void {
  inNamespace(namespacePath(namespace), () => {
    for (const [path, value] of values) {
      if (!existsSync(`${ROOT}/${path}`)) continue;
      try {
        writeFileSync(`${ROOT}/${path}`, value);
      } catch (error) {
        throw new KubetunError(
          'KT_SYSCTL',
          `net.${path.replaceAll('/', '.')} of ${namespace} cannot be set to ${value}`,
          '/proc/sys must be writable',
          { cause: error },
        );
      }
    }
  });
}

/** Values that differ, one line each. */
export function diffSysctls(namespace: string, values: [path: string, value: string][]): string[] {
  return inNamespace(namespacePath(namespace), () =>
    values.flatMap(([path, value]) => {
      if (!existsSync(`${ROOT}/${path}`)) return [];
      const now = readFileSync(`${ROOT}/${path}`, 'utf8').trim().replaceAll('\t', ' ');
      return now === value ? [] : [`${namespace}: net/${path} is ${now}, not ${value}`];
    }),
  );
}
