// The mounts of a container.
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
 * The mounts of a container, outer ones first. A missing subPath becomes a folder. Throws
 * WaitReason for a subPath outside its volume.
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
      throw refused(`container ${container.name}: volumeMounts: the pod has no volume ${name}`);
    if (/[\t\n]/.test(mountPath))
      throw refused(
        `mountPath ${JSON.stringify(mountPath)}: expected a path without tab and newline`,
      );
    const target = join('/', mountPath);
    if (/^\/(proc|sys)?(\/|$)/.test(target)) {
      const expected = 'expected a path outside / itself and /proc';
      throw refused(`container ${container.name}: mountPath: ${mountPath}: ${expected}`);
    }
    const below = subPathExpr ? expand(subPathExpr, env) : (subPath ?? '');
    return {
      source: sourceOf(join(folder, name), below),
      target,
      readOnly: readOnly || !isWritable(volume),
    };
  });
  return mounts.sort((a, b) => a.target.split('/').length - b.target.split('/').length);
}

/** Only an emptyDir and a claim are writable. */
function isWritable({ emptyDir, persistentVolumeClaim: claim }: Volume): boolean {
  return emptyDir !== undefined || (claim !== undefined && !claim.readOnly);
}

/**
 * The source of a mount. Missing folders are made only below a real folder of the volume, because a
 * container may have put links into it.
 */
function sourceOf(volume: string, below: string): string {
  const outside = refused(`subPath ${below} leads outside its volume`);
  if (below.startsWith('/') || below.split('/').includes('..')) throw outside;
  const root = realpathSync(volume);
  let real = root;
  for (const part of below.split('/').filter((name) => name !== '' && name !== '.')) {
    const path = join(real, part);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path);
    // A dangling link has no real path.
    if (!existsSync(path)) throw outside;
    real = realpathSync(path);
    if (!real.startsWith(`${root}/`)) throw outside;
  }
  return real;
}

function refused(message: string): WaitReason {
  return new WaitReason('CreateContainerConfigError', message);
}
