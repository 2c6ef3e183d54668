// Where the volumes of a pod appear in one of its containers.
import { existsSync, lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Container } from '../../../control/kube/kinds.ts';
import { expand, WaitReason } from './env.ts';
import type { Volume } from './files.ts';

export interface Mount {
  /** On this machine. */
  source: string;
  /** In the container. */
  target: string;
  readOnly: boolean;
}

/**
 * The mounts of a container, outer ones first. A subPath that is not there becomes a folder. Throws
 * WaitReason if one leads out of its volume.
 */
export function mountsOf(
  container: Container,
  volumes: Volume[],
  folder: string,
  env: Record<string, string>,
): Mount[] {
  const mounts = (container.volumeMounts ?? []).map((mount) => {
    const { name, mountPath, readOnly = false, subPath, subPathExpr } = mount;
    const volume = volumes.find((v) => v.name === name);
    if (!volume)
      throw refused(`container ${container.name} mounts volume ${name}, which there is not`);
    if (/[\t\n]/.test(mountPath))
      throw refused(`mountPath ${JSON.stringify(mountPath)} is no path`);
    const target = join('/', mountPath);
    if (/^\/(proc|sys)?(\/|$)/.test(target)) {
      const expected = 'expected a path outside / itself and /proc';
      throw refused(`container ${container.name}: mountPath: ${mountPath}: ${expected}`);
    }
    const below = subPathExpr ? expand(subPathExpr, env) : (subPath ?? '');
    return {
      source: sourceOf(join(folder, name), below),
      target,
      // Only what is a pod's own to write is written to.
      readOnly: readOnly || !volume.emptyDir,
    };
  });
  return mounts.sort((a, b) => a.target.split('/').length - b.target.split('/').length);
}

/**
 * A part that is missing is made only below a real folder of the volume: a container may have put
 * links there.
 */
function sourceOf(volume: string, below: string): string {
  const outside = refused(`subPath ${below} leads out of its volume`);
  if (below.startsWith('/') || below.split('/').includes('..')) throw outside;
  const root = realpathSync(volume);
  let real = root;
  for (const part of below.split('/').filter((name) => name !== '' && name !== '.')) {
    const path = join(real, part);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path);
    // A link that leads nowhere has no real path.
    if (!existsSync(path)) throw outside;
    real = realpathSync(path);
    if (!real.startsWith(`${root}/`)) throw outside;
  }
  return real;
}

function refused(message: string): WaitReason {
  return new WaitReason('CreateContainerConfigError', message);
}
