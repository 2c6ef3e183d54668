// Phases of volumes: pkg/controller/volume/persistentvolume, pkg/controller/volume/pvprotection.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import {
  BOUND_BY_CONTROLLER,
  PROVISIONED_BY,
  PROVISIONER,
  VOLUME_PROTECTION,
} from '../../model/storage.ts';
import { type Cluster, Controller } from '../controller.ts';
import { dropFinalizer } from '../owners.ts';

const VOLUMES = 'persistentvolumes';

/**
 * The folder of a provisioned volume. Its path follows from the name, because a client can write
 * any path into the object.
 */
export function folderOf(claims: string, volume: string): string {
  return join(claims, volume);
}

/**
 * Keeps the phase of every volume. Deletes a released volume of the provisioner, with its folder,
 * if its policy says so. Keeps a volume in deletion until no claim is bound to it.
 */
export class VolumeController extends Controller {
  readonly #folder: string | null;

  /** @param folder where the folders of claims are, null if claims get none. */
  constructor(cluster: Cluster, folder: string | null) {
    super(cluster, 'persistentvolume-controller');
    this.#folder = folder;
    this.follow(VOLUMES, ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe('persistentvolumeclaims', ({ object }) => {
      if (object.spec.volumeName) this.queue.add(`/${object.spec.volumeName}`);
    });
  }

  protected reconcile(key: string): void {
    const { store } = this.cluster;
    const volume = store.at(VOLUMES, key);
    if (!volume) return;
    const status = this.#statusOf(volume);
    if (!isEqual(status, volume.status)) {
      // The claim of the volume may have been removed meanwhile.
      this.cluster.writeStatus(store.at(VOLUMES, key)!, status);
      if (status.phase === 'Failed') {
        this.record(volume, 'Warning', 'VolumeFailedDelete', String(status.message));
      }
    }
    if (status.phase === 'Released' && !volume.metadata.deletionTimestamp) this.#reclaim(volume);
    const left = store.at(VOLUMES, key);
    if (left?.metadata.deletionTimestamp && status.phase !== 'Bound') {
      dropFinalizer(this.cluster, left, VOLUME_PROTECTION);
    }
  }

  #statusOf(volume: KubeObject): { phase: string; message?: string } {
    const { claimRef, persistentVolumeReclaimPolicy: policy } = volume.spec;
    const { name, annotations } = volume.metadata;
    if (!claimRef?.uid) return { phase: 'Available' };
    const { namespace, name: claimName, uid } = claimRef;
    const claim = this.cluster.store.get('persistentvolumeclaims', namespace, claimName);
    if (claim?.metadata.uid === uid) {
      const { volumeName } = claim!.spec;
      if (volumeName === name) return { phase: 'Bound' };
      // The claim is about to name the volume.
      if (!volumeName) return volume.status;
      if (!annotations?.[PROVISIONED_BY] && annotations?.[BOUND_BY_CONTROLLER]) {
        this.cluster.patch(volume, { spec: { claimRef: null } });
        return { phase: 'Available' };
      }
    }
    if (policy === 'Retain' || annotations?.[PROVISIONED_BY]) return { phase: 'Released' };
    const message =
      `volume ${JSON.stringify(name)}: persistentVolumeReclaimPolicy ${policy}: expected Retain, ` +
      'because no provisioner made it: delete the volume';
    return { phase: 'Failed', message };
  }

  #reclaim({ metadata, spec }: KubeObject): void {
    const isOwn = metadata.annotations?.[PROVISIONED_BY] === PROVISIONER;
    if (!isOwn || spec.persistentVolumeReclaimPolicy !== 'Delete' || this.#folder === null) return;
    rmSync(folderOf(this.#folder, metadata.name), { recursive: true, force: true });
    this.cluster.remove(this.cluster.store.get(VOLUMES, '', metadata.name)!);
  }
}
