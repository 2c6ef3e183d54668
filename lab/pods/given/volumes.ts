// The volumes of a pod on disk. Later changes of a ConfigMap or Secret do not reach them.
import {
  chmodSync,
  constants,
  existsSync,
  lchownSync,
  lstatSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../../control/files.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import type { Pod } from '../../../control/kube/kinds.ts';
import { claimedFolder } from './claims.ts';
import type { Given } from './downward.ts';
import { MountError, type Volume, volumeFiles, volumeSources } from './files.ts';
import { fetchSources } from './sources.ts';

/** Folder of a pod's volumes. */
export function volumesFolder(stateDir: string, uid: string): string {
  return join(stateDir, 'volumes', uid);
}

/** Makes all volumes of a pod. Throws MountError with the name of the volume. */
export async function makeVolumes(
  kube: KubeClient,
  pod: Pod,
  given: Given,
  folder: string,
): Promise<void> {
  // The files may be Secrets. Containers reach their own volumes through mounts, not through this
  // folder.
  const all = dirname(folder);
  makeFolder(all, 0o700);
  chmodSync(all, 0o700);
  const group = pod.spec?.securityContext?.fsGroup;
  for (const volume of pod.spec?.volumes ?? []) {
    try {
      const path = join(folder, volume.name);
      await makeVolume(kube, pod, given, path, volume);
      const isWritable = Boolean(volume.emptyDir ?? volume.persistentVolumeClaim);
      if (group !== undefined && isOwnFolder(path)) {
        giveToGroup(realpathSync(path), group, isWritable);
      }
    } catch (error) {
      const { message } = error as Error;
      throw new MountError(`MountVolume.SetUp failed for volume "${volume.name}" : ${message}`);
    }
  }
}

async function makeVolume(
  kube: KubeClient,
  pod: Pod,
  given: Given,
  folder: string,
  volume: Volume,
): Promise<void> {
  const namespace = pod.metadata?.namespace ?? 'default';
  if (volume.persistentVolumeClaim) {
    const { claimName } = volume.persistentVolumeClaim;
    const target = await claimedFolder(kube, { namespace, name: claimName }, claimsFolder(folder));
    makeFolder(dirname(folder), 0o777);
    rmSync(folder, { force: true, recursive: true });
    symlinkSync(target, folder);
    return;
  }
  const sources = await fetchSources(kube, namespace, volumeSources(volume));
  const files = volumeFiles(volume, pod, given, sources);
  makeFolder(folder, 0o777);
  // A container may run as any user, and the umask of this process does not apply to it.
  chmodSync(folder, volume.emptyDir ? 0o777 : 0o755);
  for (const { path, data, mode } of files) {
    const file = join(folder, path);
    makeFolder(dirname(file), 0o777);
    writeFileSync(file, data);
    chmodSync(file, mode);
  }
}

/** False for a folder of the machine that a PersistentVolume names: its owner stays. */
function isOwnFolder(path: string): boolean {
  const parent = dirname(realpathSync(path));
  return [dirname(path), claimsFolder(path)].some(
    (folder) => existsSync(folder) && realpathSync(folder) === parent,
  );
}

const DIRECTORY_BITS = 0o2110;
const WRITABLE_BITS = 0o660;
const READABLE_BITS = 0o440;

/** Gives a volume to the group of its pod (fsGroup). Source: pkg/volume, SetVolumeOwnership. */
function giveToGroup(path: string, group: number, isWritable: boolean): void {
  lchownSync(path, -1, group);
  const { mode } = lstatSync(path);
  const kind = mode & constants.S_IFMT;
  if (kind === constants.S_IFLNK) return;
  const isFolder = kind === constants.S_IFDIR;
  const bits = (isWritable ? WRITABLE_BITS : READABLE_BITS) | (isFolder ? DIRECTORY_BITS : 0);
  chmodSync(path, (mode & ~constants.S_IFMT) | bits);
  if (!isFolder) return;
  for (const name of readdirSync(path)) giveToGroup(join(path, name), group, isWritable);
}

/** The folder of all claims, beside that of the volumes of pods. */
function claimsFolder(volume: string): string {
  return join(dirname(volume), '../../claims');
}

/** Safe to repeat. */
export function removeVolumes(stateDir: string, uid: string): void {
  rmSync(volumesFolder(stateDir, uid), { recursive: true, force: true });
}
