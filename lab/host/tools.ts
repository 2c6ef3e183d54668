// Requirements of a lab on the machine.
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { KubetunError } from '../../datapath/error.ts';

/** Command -> its Debian package. */
const TOOLS: Record<string, string> = {
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  openssl: 'openssl',
  catatonit: 'catatonit',
};

/**
 * Throws KubetunError KT_NOT_ROOT, KT_NO_TUN or KT_TOOL_MISSING for the first missing requirement.
 * `more` has tools that not every lab needs.
 */
export function requireMachine(more: Record<string, string> = {}): void {
  requireRoot();
  if (!existsSync('/dev/net/tun')) {
    throw new KubetunError('KT_NO_TUN', '/dev/net/tun is missing', 'modprobe tun');
  }
  for (const [tool, packageName] of Object.entries({ ...TOOLS, ...more })) {
    if (findTool(tool) === null) {
      throw new KubetunError(
        'KT_TOOL_MISSING',
        `${tool} is not installed`,
        `apt-get install ${packageName}`,
      );
    }
  }
}

/** Throws KubetunError KT_NOT_ROOT. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new KubetunError(
    'KT_NOT_ROOT',
    'network namespaces need root',
    'run the same command with sudo',
  );
}

/** Path of a command, looked up as in a shell. Null if it is not found. */
export function findTool(name: string): string | null {
  for (const folder of (process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}
