// The files of a volume: pkg/volume/{configmap,secret,downwardapi,projected}.
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import { type Given, readField, readResource } from './downward.ts';
import type { SourceRef, Sources } from './sources.ts';

export type Volume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];
type Projected = NonNullable<Volume['projected']>;
type Projection = NonNullable<Projected['sources']>[number];
type DownwardItem = NonNullable<NonNullable<Projection['downwardAPI']>['items']>[number];

/** One file of a volume. */
export interface VolumeFile {
  /** Below the volume's folder. */
  path: string;
  data: Buffer;
  /** Permission bits. */
  mode: number;
}

/** A volume cannot be made, now or at all: its pod waits. */
export class MountError extends Error {}

const MODE_DEFAULT = 0o644;

/**
 * Every volume of files as the list of sources that a projected one is. Throws MountError for kinds
 * the lab has not.
 */
function projectionsOf(volume: Volume): Projected {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (projected) return projected;
  if (configMap) return { ...modeOf(configMap), sources: [{ configMap }] };
  if (downwardAPI) return { ...modeOf(downwardAPI), sources: [{ downwardAPI }] };
  if (secret) {
    const { secretName, items, optional } = secret;
    const source = { ...(secretName && { name: secretName }), ...(items && { items }) };
    return { ...modeOf(secret), sources: [{ secret: { ...source, optional: optional === true } }] };
  }
  throw new MountError(
    `volume ${volume.name}: the lab has configMap, secret, downwardAPI, projected and emptyDir volumes`,
  );
}

function modeOf({ defaultMode }: { defaultMode?: number }): { defaultMode?: number } {
  return defaultMode === undefined ? {} : { defaultMode };
}

/** What the files of a volume are taken from. Throws MountError. */
export function volumeSources(volume: Volume): SourceRef[] {
  if (volume.emptyDir) return [];
  return (projectionsOf(volume).sources ?? []).flatMap(({ configMap, secret }): SourceRef[] => {
    if (configMap) return [{ kind: 'ConfigMap', name: configMap.name ?? '' }];
    return secret ? [{ kind: 'Secret', name: secret.name ?? '' }] : [];
  });
}

/**
 * The files of a volume as it is made; none of an emptyDir. Throws MountError if something is
 * missing.
 */
export function volumeFiles(
  volume: Volume,
  pod: Pod,
  given: Given,
  sources: Sources,
): VolumeFile[] {
  if (volume.emptyDir) return [];
  const { defaultMode = MODE_DEFAULT, sources: projections = [] } = projectionsOf(volume);
  const files = projections.flatMap(({ configMap, secret, downwardAPI }): VolumeFile[] => {
    if (downwardAPI) {
      return (downwardAPI.items ?? []).map((item) => ({
        path: item.path,
        data: Buffer.from(readItem(item, pod, given)),
        mode: item.mode ?? defaultMode,
      }));
    }
    const source = configMap ?? secret;
    if (!source) {
      throw new MountError(
        `volume ${volume.name}: the lab projects configMap, secret and downwardAPI`,
      );
    }
    const ref: SourceRef = { kind: configMap ? 'ConfigMap' : 'Secret', name: source.name ?? '' };
    return keyFiles(ref, source, defaultMode, sources);
  });
  for (const { path } of files) requireBelow(path);
  return files;
}

function keyFiles(
  ref: SourceRef,
  {
    items,
    optional,
  }: { items?: { key: string; path: string; mode?: number }[]; optional?: boolean },
  defaultMode: number,
  sources: Sources,
): VolumeFile[] {
  const data = sources(ref);
  if (!data && !optional) throw new MountError(`${ref.kind.toLowerCase()} "${ref.name}" not found`);
  if (!items) {
    return [...(data ?? [])].map(([path, value]) => ({ path, data: value, mode: defaultMode }));
  }
  return items.flatMap(({ key, path, mode = defaultMode }) => {
    const value = data?.get(key);
    if (value) return [{ path, data: value, mode }];
    if (optional) return [];
    throw new MountError(`${ref.kind.toLowerCase()} "${ref.name}" has no key ${key}`);
  });
}

function readItem({ fieldRef, resourceFieldRef }: DownwardItem, pod: Pod, given: Given): string {
  if (fieldRef) return readField(fieldRef.fieldPath, pod, given);
  const { containerName, resource = '', divisor } = resourceFieldRef ?? {};
  const all: Container[] = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const container = all.find(({ name }) => name === containerName);
  if (!container) throw new MountError(`there is no container ${containerName}`);
  return readResource(container, resource, divisor);
}

function requireBelow(path: string): void {
  if (path !== '' && !path.startsWith('/') && !path.split('/').includes('..')) return;
  throw new MountError(`${JSON.stringify(path)} is no path below a volume`);
}
