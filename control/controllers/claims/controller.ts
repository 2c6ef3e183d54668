// Claims and volumes: pkg/controller/volume/persistentvolume, and a provisioner of folders like
// rancher.io/local-path.
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { parseQuantity } from '../../model/quantity.ts';
import { type Cluster, Controller } from '../controller.ts';

const PROVISIONER = 'kubetun.io/local-path';
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
const IS_DEFAULT = 'storageclass.kubernetes.io/is-default-class';
const CLASS_NAME = 'standard';

/** Binds claims to volumes. A class of the provisioner gives each claim a folder of its own. */
export class ClaimController extends Controller {
  readonly #folder: string;

  /**
   * Keys of its queue are those of claims, and `/NAME` of volumes.
   *
   * @param folder where the folders of claims are.
   */
  constructor(cluster: Cluster, folder: string) {
    super(cluster, 'persistentvolume-controller');
    this.#folder = folder;
    const { store } = cluster;
    if (!store.get('storageclasses', '', CLASS_NAME)) {
      cluster.create('StorageClass', '', {
        metadata: { name: CLASS_NAME, annotations: { [IS_DEFAULT]: 'true' } },
        provisioner: PROVISIONER,
      });
    }
    const look = (object: KubeObject) => this.queue.add(keyOf(object));
    const lookAtPending = () =>
      store.each('persistentvolumeclaims', (claim) => {
        if (claim.status?.phase === 'Pending') look(claim);
      });
    this.follow('persistentvolumeclaims', ({ type, object }) => {
      look(object);
      if (type === 'DELETED') this.queue.add(`/${object.spec.volumeName ?? ''}`);
    });
    this.follow('persistentvolumes', ({ object }) => {
      look(object);
      lookAtPending();
    });
    this.subscribe('storageclasses', lookAtPending);
    this.subscribe('pods', ({ object }) => {
      if (!object.spec.nodeName) return;
      for (const name of claimsOf(object)) this.queue.add(`${object.metadata.namespace}/${name}`);
    });
  }

  protected reconcile(key: string): void {
    const { store } = this.cluster;
    if (key.startsWith('/')) {
      const volume = store.at('persistentvolumes', key);
      if (volume) this.#reclaim(volume);
      return;
    }
    const claim = store.at('persistentvolumeclaims', key);
    if (!claim || claim.metadata.deletionTimestamp) return;
    if (claim.status?.phase === 'Bound') return this.#checkBound(claim);
    if (claim.spec.volumeName) {
      const volume = store.get('persistentvolumes', '', claim.spec.volumeName);
      if (volume && isFree(volume, claim)) this.#bind(claim, volume);
      return;
    }
    const className = claim.spec.storageClassName ?? this.#defaultClass();
    if (className !== undefined && claim.spec.storageClassName === undefined) {
      this.cluster.patch(claim, { spec: { storageClassName: className } });
      return;
    }
    const volume = this.#match(claim);
    if (volume) return this.#bind(claim, volume);
    this.#provision(claim, className);
  }

  #checkBound(claim: KubeObject): void {
    if (this.cluster.store.get('persistentvolumes', '', claim.spec.volumeName)) return;
    this.record(
      claim,
      'Warning',
      'ClaimLost',
      'Bound claim has lost its PersistentVolume. Data on the volume is lost!',
    );
    this.#setPhase(claim, 'Lost');
  }

  /** The name of the newest class that says that it is the default. */
  #defaultClass(): string | undefined {
    const born = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0;
    return this.cluster.store
      .list('storageclasses')
      .filter(({ metadata }) => metadata.annotations?.[IS_DEFAULT] === 'true')
      .sort((a, b) => born(b) - born(a))[0]?.metadata.name;
  }

  /** The smallest free volume that is large enough. */
  #match(claim: KubeObject): KubeObject | undefined {
    const { accessModes = [], resources, storageClassName = '' } = claim.spec;
    const wanted = parseQuantity(resources.requests.storage);
    const sizeOf = ({ spec }: KubeObject) => parseQuantity(spec.capacity.storage);
    return this.cluster.store
      .list('persistentvolumes')
      .filter((volume) => {
        const { spec, metadata } = volume;
        const fits =
          (spec.storageClassName ?? '') === storageClassName &&
          accessModes.every((mode: string) => spec.accessModes.includes(mode)) &&
          sizeOf(volume) >= wanted;
        return fits && !metadata.deletionTimestamp && isFree(volume, claim);
      })
      .sort((a, b) => sizeOf(a) - sizeOf(b))[0];
  }

  #provision(claim: KubeObject, className: string | undefined): void {
    const { store } = this.cluster;
    const note = (type: 'Normal' | 'Warning', reason: string, message: string) =>
      this.record(claim, type, reason, message);
    if (!className) {
      const why = 'no persistent volumes available for this claim and no storage class is set';
      return note('Normal', 'FailedBinding', why);
    }
    const found = store.get('storageclasses', '', className);
    if (!found) {
      const why = `storageclass.storage.k8s.io "${className}" not found`;
      return note('Warning', 'ProvisioningFailed', why);
    }
    if (found.provisioner !== PROVISIONER) {
      const by = `the external provisioner '${found.provisioner}'`;
      const why = `Waiting for a volume to be created by ${by}`;
      return note('Normal', 'ExternalProvisioning', why);
    }
    if (found.volumeBindingMode === 'WaitForFirstConsumer' && !this.#hasConsumer(claim)) {
      const why = 'waiting for first consumer to be created before binding';
      return note('Normal', 'WaitForFirstConsumer', why);
    }
    const { namespace, name: claimName, uid } = claim.metadata;
    const name = `pvc-${uid}`;
    const path = join(this.#folder, `${name}_${namespace}_${claimName}`);
    mkdirSync(path, { recursive: true });
    // Containers run as any user, and the umask of this process does not apply to them.
    chmodSync(path, 0o777);
    this.cluster.create('PersistentVolume', '', {
      metadata: { name, annotations: { [PROVISIONED_BY]: PROVISIONER } },
      spec: {
        accessModes: claim.spec.accessModes,
        capacity: { storage: claim.spec.resources.requests.storage },
        claimRef: referenceTo(claim),
        hostPath: { path, type: 'DirectoryOrCreate' },
        persistentVolumeReclaimPolicy: found.reclaimPolicy,
        storageClassName: className,
      },
    });
    note('Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${name}`);
  }

  #hasConsumer({ metadata }: KubeObject): boolean {
    return this.cluster.store
      .list('pods', metadata.namespace)
      .some((pod) => pod.spec.nodeName && claimsOf(pod).includes(metadata.name));
  }

  /** The volume first: a claim that is bound always has its volume. */
  #bind(claim: KubeObject, volume: KubeObject): void {
    const { capacity, accessModes } = volume.spec;
    const bound = this.cluster.patch(volume, { spec: { claimRef: referenceTo(claim) } });
    this.cluster.writeStatus(bound, { phase: 'Bound' });
    const own = this.cluster.patch(claim, { spec: { volumeName: volume.metadata.name } });
    this.cluster.writeStatus(own, { phase: 'Bound', accessModes, capacity });
  }

  /** Deletes or releases a volume whose claim is gone. */
  #reclaim(volume: KubeObject): void {
    const { claimRef, persistentVolumeReclaimPolicy: policy } = volume.spec;
    if (!claimRef?.uid) {
      if (!claimRef) this.#setPhase(volume, 'Available');
      return;
    }
    const claim = this.cluster.store.get(
      'persistentvolumeclaims',
      claimRef.namespace,
      claimRef.name,
    );
    if (claim?.metadata.uid === claimRef.uid) return;
    this.#setPhase(volume, 'Released');
    const isOwn = volume.metadata.annotations?.[PROVISIONED_BY] === PROVISIONER;
    if (policy !== 'Delete' || !isOwn) return;
    const { path } = volume.spec.hostPath;
    // An object can be edited; only folders of this provisioner are removed.
    if (path === join(this.#folder, basename(path))) rmSync(path, { recursive: true, force: true });
    this.cluster.remove(volume);
  }

  #setPhase(object: KubeObject, phase: string): void {
    if (object.status?.phase === phase) return;
    this.cluster.writeStatus(object, { ...object.status, phase });
  }
}

/** True if no other claim has the volume. A claimRef without uid reserves it for a name. */
function isFree({ spec }: KubeObject, { metadata }: KubeObject): boolean {
  const { claimRef } = spec;
  if (!claimRef) return true;
  const isNamed = claimRef.namespace === metadata.namespace && claimRef.name === metadata.name;
  return isNamed && (!claimRef.uid || claimRef.uid === metadata.uid);
}

/** Names of the claims that a pod uses. */
function claimsOf({ spec }: KubeObject): string[] {
  const volumes: { persistentVolumeClaim?: { claimName: string } }[] = spec.volumes ?? [];
  return volumes.flatMap(({ persistentVolumeClaim: claim }) => (claim ? [claim.claimName] : []));
}

function referenceTo({ apiVersion, kind, metadata }: KubeObject): object {
  const { namespace, name, uid } = metadata;
  return { apiVersion, kind, namespace, name, uid };
}
