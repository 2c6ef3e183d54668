// Where the volumes of a pod appear in one of its containers.
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Container } from '../../../control/kube/kinds.ts';
import { expand } from '../env.ts';
import { WaitReason } from '../wait-reason.ts';
import type { Volume } from './files.ts';

export interface Mount {
  /** On this machine. */
  source: string;
  /** In the container. */
  target: string;
  readOnly: boolean;
}

/**
 * The mounts of a container, outer ones first. A subPath that is not there becomes a folder. Throws WaitReason if
 * one leads out of its volume.
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
    const below = subPathExpr ? expand(subPathExpr, env) : (subPath ?? '');
    return {
      source: sourceOf(join(folder, name), below),
      target: join('/', mountPath),
      // Only what is a pod's own to write is written to.
      readOnly: readOnly || !volume.emptyDir,
    };
  });
  return mounts.sort((a, b) => a.target.split('/').length - b.target.split('/').length);
}

function sourceOf(volume: string, below: string): string {
  if (below === '') return volume;
  const path = join(volume, below);
  const isOutside = below.startsWith('/') || below.split('/').includes('..');
  if (!isOutside && !existsSync(path)) mkdirSync(path, { recursive: true });
  // A container may have put a link there that leads anywhere.
  const real = isOutside ? '' : realpathSync(path);
  if (!real.startsWith(`${realpathSync(volume)}/`)) {
    throw refused(`subPath ${below} leads out of its volume`);
  }
  return real;
}

function refused(message: string): WaitReason {
  return new WaitReason('CreateContainerConfigError', message);
}
