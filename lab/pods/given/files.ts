// The files of a volume. Source: pkg/volume/{configmap,secret,downwardapi,projected}.
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import { type Given, readField, readResource } from './downward.ts';
import type { SourceRef, Sources } from './sources.ts';

export type Volume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];
type Projected = NonNullable<Volume['projected']>;
type Projection = NonNullable<Projected['sources']>[number];
type DownwardItem = NonNullable<NonNullable<Projection['downwardAPI']>['items']>[number];

/** One file of a volume. */
export interface VolumeFile {
  /** Relative to the volume's folder. */
  path: string;
  data: Buffer;
  /** Permission bits. */
  mode: number;
}

/** A volume cannot be made. Its pod waits, and the volume is tried again. */
export class MountError extends Error {}

const MODE_DEFAULT = 0o644;
const VOLUMES = 'configMap, secret, downwardAPI, projected, emptyDir or persistentVolumeClaim';

/**
 * Every volume of files as a projected volume. Throws MountError for kinds that the lab does not
 * support.
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
  throw new MountError(`volume ${volume.name}: unsupported kind: expected ${VOLUMES}`);
}

function modeOf({ defaultMode }: { defaultMode?: number }): { defaultMode?: number } {
  return defaultMode === undefined ? {} : { defaultMode };
}

/** ConfigMaps and Secrets that a volume refers to. Throws MountError. */
export function volumeSources(volume: Volume): SourceRef[] {
  if (volume.emptyDir || volume.persistentVolumeClaim) return [];
  return (projectionsOf(volume).sources ?? []).flatMap(({ configMap, secret }): SourceRef[] => {
    if (configMap) return [{ kind: 'ConfigMap', name: configMap.name ?? '' }];
    return secret ? [{ kind: 'Secret', name: secret.name ?? '' }] : [];
  });
}

/** The files of a new volume. An emptyDir has none. Throws MountError if a source is missing. */
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
        `volume ${volume.name}: unsupported source: expected configMap, secret or downwardAPI`,
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
  throw new MountError(`path ${JSON.stringify(path)} is not a relative path inside the volume`);
}
