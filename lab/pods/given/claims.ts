// The folder of a claim: pkg/volume/hostpath, pkg/volume/local.
import { existsSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../../../control/files.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import { isNotFound } from '../../../control/kube/error.ts';
import type { KubeKinds } from '../../../control/kube/kinds.ts';
import { MountError } from './files.ts';

/** A container that wrote here would change this machine. */
const SYSTEM = /^\/(bin|boot|dev|etc|lib[0-9x]*|proc|root|run|sbin|sys|usr|var)?(\/|$)/;
/** Types of hostPath whose folder is made if it is missing, and whose folder must exist. */
const MADE = ['', 'DirectoryOrCreate'];
const EXPECTED = 'Directory';

type PersistentVolume = KubeKinds['PersistentVolume'];

/**
 * The folder of a claim's volume. Throws MountError while the claim has none.
 *
 * @param claims folder of the volumes that the lab's provisioner made.
 */
export async function claimedFolder(
  kube: KubeClient,
  place: { namespace: string; name: string },
  claims: string,
): Promise<string> {
  const what = `persistentvolumeclaim "${place.name}"`;
  const claim = await kube.get('PersistentVolumeClaim', place).catch((error: unknown) => {
    if (isNotFound(error)) throw new MountError(`${what} not found`);
    throw error;
  });
  if (claim.status?.phase !== 'Bound') {
    throw new MountError(`${what} is not bound to a volume yet`);
  }
  const volume = await kube.get('PersistentVolume', { name: claim.spec?.volumeName ?? '' });
  return volumeFolder(volume, claims);
}

/** All nodes of a lab are this machine. Throws MountError for a path that is not mounted. */
export function volumeFolder({ metadata, spec }: PersistentVolume, claims: string): string {
  const { hostPath, local } = spec ?? {};
  const what = `persistentvolume "${metadata?.name}"`;
  const given = hostPath?.path ?? local?.path;
  if (given === undefined) {
    throw new MountError(`${what}: unsupported kind: expected hostPath or local`);
  }
  const path = join('/', given);
  const type = hostPath?.type ?? '';
  if (![...MADE, EXPECTED].includes(type)) {
    const known = `expected ${EXPECTED} or ${MADE[1]}`;
    throw new MountError(`${what}: hostPath.type: unsupported type ${type}: ${known}`);
  }
  const isOwn = path === join(claims, basename(path));
  const isMade = hostPath !== undefined && MADE.includes(type);
  if (!isOwn) refuseSystem(what, path);
  if (!existsSync(path) && !isMade) {
    const why = hostPath
      ? `hostPath type check failed: ${path} is not a directory`
      : `path "${path}" does not exist`;
    throw new MountError(why);
  }
  if (!existsSync(path)) makeFolder(path, isOwn ? 0o777 : 0o755);
  if (!statSync(path).isDirectory()) {
    throw new MountError(`hostPath type check failed: ${path} is not a directory`);
  }
  return path;
}

/** Follows links, because a link can lead into a folder of the system. */
function refuseSystem(what: string, path: string): void {
  let [known, missing] = [path, ''];
  while (!existsSync(known)) [known, missing] = [dirname(known), join(basename(known), missing)];
  const real = join(realpathSync(known), missing);
  if (!SYSTEM.test(path) && !SYSTEM.test(real)) return;
  const expected = 'expected a folder outside the system, for example /mnt/data';
  throw new MountError(`${what}: path ${path} is not mounted: ${expected}`);
}
