// Facts of claims, volumes and classes: k8s pkg/volume/util,
// pkg/controller/volume/persistentvolume/index.go.
import { type KubeObject, keyOf } from '../kube/object.ts';
import { type LabelSelector, selects } from './label-selector.ts';
import { parseQuantity } from './quantity.ts';

/** The provisioner of a lab. It makes a folder for each claim. */
export const PROVISIONER = 'kubetun.dev/local-path';
/** The class of this provisioner makes nothing: its volumes are made by hand. */
export const NO_PROVISIONER = 'kubernetes.io/no-provisioner';
/** Annotation of a volume: the provisioner that made it. */
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
/** Annotation of a claim or a volume that a controller bound, not its writer. */
export const BOUND_BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller';
/** Annotation of a claim: the node that the scheduler chose for its first pod. */
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
/** Finalizers that keep storage while it is in use. */
export const CLAIM_PROTECTION = 'kubernetes.io/pvc-protection';
export const VOLUME_PROTECTION = 'kubernetes.io/pv-protection';
/** Annotation of a class. Claims that name no class use the newest class that has it. */
export const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

export function isDefaultClass({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[DEFAULT_CLASS] === 'true';
}

/**
 * The newest class with this annotation. IngressClasses have one of their own. Source:
 * plugin/pkg/admission/storage/storageclass/setdefault, plugin/pkg/admission/network.
 */
export function defaultClass(
  classes: KubeObject[],
  annotation = DEFAULT_CLASS,
): KubeObject | undefined {
  const born = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0;
  return classes
    .filter(({ metadata }) => metadata.annotations?.[annotation] === 'true')
    .sort((a, b) => born(b) - born(a) || (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}

/** Keys of the claims of a pod. */
export function claimKeysOf({ metadata, spec }: KubeObject): string[] {
  const volumes: { persistentVolumeClaim?: { claimName: string } }[] = spec.volumes ?? [];
  return volumes.flatMap(({ persistentVolumeClaim: claim }) =>
    claim ? [`${metadata.namespace}/${claim.claimName}`] : [],
  );
}

/** True if a volume names a claim. A reference without a uid names any claim of the name. */
export function isFor({ spec }: KubeObject, claim: KubeObject): boolean {
  const { claimRef } = spec;
  if (!claimRef || `${claimRef.namespace}/${claimRef.name}` !== keyOf(claim)) return false;
  return !claimRef.uid || claimRef.uid === claim.metadata.uid;
}

/** The reference of a volume to its claim. */
export function referenceTo({ metadata }: KubeObject): object {
  const { namespace, name, uid, resourceVersion } = metadata;
  const about = { namespace, name, uid, resourceVersion };
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...about };
}

/** The smallest free volume that fits a claim. */
export function smallestFor(claim: KubeObject, volumes: KubeObject[]): KubeObject | undefined {
  return volumes
    .filter((volume) => !volume.spec.claimRef && fits(claim, volume))
    .sort((a, b) => sizeOf(a) - sizeOf(b) || (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}

function fits(claim: KubeObject, volume: KubeObject): boolean {
  const { accessModes, volumeMode, selector, resources, storageClassName = '' } = claim.spec;
  const { spec, metadata } = volume;
  if (metadata.deletionTimestamp || volume.status?.phase !== 'Available') return false;
  if ((spec.storageClassName ?? '') !== storageClassName) return false;
  if (volumeMode !== spec.volumeMode) return false;
  if (!accessModes.every((mode: string) => spec.accessModes.includes(mode))) return false;
  const chosen = selector as LabelSelector | undefined;
  if (chosen && !selects(chosen, metadata.labels)) return false;
  return sizeOf(volume) >= parseQuantity(resources.requests.storage);
}

function sizeOf({ spec }: KubeObject): number {
  return parseQuantity(spec.capacity.storage);
}
