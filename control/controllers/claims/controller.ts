// Binds claims to volumes: pkg/controller/volume (persistentvolume, pvcprotection), with a
// provisioner of folders like rancher.io/local-path.
import { chmodSync, mkdirSync } from 'node:fs';
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import {
  BOUND_BY_CONTROLLER,
  CLAIM_PROTECTION,
  claimKeysOf,
  defaultClass,
  isFor,
  NO_PROVISIONER,
  PROVISIONED_BY,
  PROVISIONER,
  referenceTo,
  SELECTED_NODE,
  smallestFor,
} from '../../model/storage.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { dropFinalizer } from '../owners.ts';
import { ClaimUsers } from './users.ts';
import { folderOf } from './volumes.ts';

const CLAIMS = 'persistentvolumeclaims';
const VOLUMES = 'persistentvolumes';
const BIND_COMPLETED = 'pv.kubernetes.io/bind-completed';

/**
 * Binds every claim to a volume. A class of the provisioner gives each claim its own folder. Keeps
 * a claim in deletion until no pod uses it.
 */
export class ClaimController extends Controller {
  readonly #users = new ClaimUsers();
  readonly #folder: string | null;
  /** Keys of claims without a volume. */
  readonly #pending = new Set<string>();

  /** @param folder where the folders of claims are, null if claims get none. */
  constructor(cluster: Cluster, folder: string | null) {
    super(cluster, 'persistentvolume-controller');
    this.#folder = folder;
    this.follow('pods', (change) => this.#onPod(change));
    this.follow(CLAIMS, ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe(VOLUMES, ({ object, old }) => this.#onVolume(object, old));
    this.subscribe('storageclasses', () => this.#retryPending());
  }

  #onPod({ type, object, old }: Change): void {
    const isSame = old && old.spec.nodeName === object.spec.nodeName;
    if (type === 'MODIFIED' && isSame) return;
    if (old) this.#users.remove(old);
    if (type !== 'DELETED') this.#users.put(object);
    for (const key of claimKeysOf(object)) this.queue.add(key);
  }

  #onVolume(volume: KubeObject, old: KubeObject | undefined): void {
    for (const { spec } of old ? [old, volume] : [volume]) {
      const { namespace, name } = spec.claimRef ?? {};
      if (name) this.queue.add(`${namespace}/${name}`);
    }
    this.#retryPending();
  }

  #retryPending(): void {
    for (const key of this.#pending) this.queue.add(key);
  }

  protected reconcile(key: string): void {
    const { store } = this.cluster;
    this.#pending.delete(key);
    const claim = store.at(CLAIMS, key);
    if (!claim) return;
    if (claim.metadata.deletionTimestamp && !this.#users.hasRunning(key)) {
      return dropFinalizer(this.cluster, claim, CLAIM_PROTECTION);
    }
    const named: string = claim.spec.volumeName ?? '';
    const volume = named ? store.get(VOLUMES, '', named) : this.#find(claim);
    if (volume && (isFor(volume, claim) || !volume.spec.claimRef)) return this.#bind(claim, volume);
    if (claim.metadata.annotations?.[BIND_COMPLETED]) return this.#lose(claim, volume);
    this.#pending.add(key);
    if (!named) this.#ask(claim, key);
    else if (volume) {
      const why = `volume ${JSON.stringify(named)} already bound to a different claim.`;
      this.record(claim, 'Warning', 'FailedBinding', why);
    }
  }

  /** A volume that names the claim, or the smallest that fits. */
  #find(claim: KubeObject): KubeObject | undefined {
    const volumes = this.cluster.store.list(VOLUMES);
    const reserved = volumes.find((volume) => isFor(volume, claim));
    // The scheduler chooses for a claim that waits for its first pod.
    return reserved ?? (this.#isDelayed(claim) ? undefined : smallestFor(claim, volumes));
  }

  #classOf({ spec }: KubeObject): KubeObject | undefined {
    return this.cluster.store.get('storageclasses', '', spec.storageClassName ?? '');
  }

  #isDelayed(claim: KubeObject): boolean {
    return this.#classOf(claim)?.volumeBindingMode === 'WaitForFirstConsumer';
  }

  /** Writes the volume first, because two claims can compete for it. */
  #bind(claim: KubeObject, volume: KubeObject): void {
    if (volume.spec.claimRef?.uid !== claim.metadata.uid) {
      const annotations = volume.spec.claimRef ? {} : { [BOUND_BY_CONTROLLER]: 'yes' };
      const spec = { claimRef: referenceTo(claim) };
      this.cluster.patch(volume, { metadata: { annotations }, spec });
    }
    let bound = claim;
    if (!claim.spec.volumeName || !claim.metadata.annotations?.[BIND_COMPLETED]) {
      const byController = claim.spec.volumeName ? {} : { [BOUND_BY_CONTROLLER]: 'yes' };
      const annotations = { [BIND_COMPLETED]: 'yes', ...byController };
      const patch = { metadata: { annotations }, spec: { volumeName: volume.metadata.name } };
      bound = this.cluster.patch(claim, patch);
    }
    const { accessModes, capacity } = volume.spec;
    const status = { ...bound.status, phase: 'Bound', accessModes, capacity };
    if (!isEqual(status, bound.status)) this.cluster.writeStatus(bound, status);
  }

  #lose(claim: KubeObject, volume: KubeObject | undefined): void {
    if (claim.status.phase === 'Lost') return;
    this.cluster.writeStatus(claim, { ...claim.status, phase: 'Lost' });
    const [reason, why] = volume
      ? ['ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly']
      : ['ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!'];
    this.record(claim, 'Warning', reason!, why!);
  }

  /** Makes a volume for a claim, or records why there is none. */
  #ask(claim: KubeObject, key: string): void {
    const note = (type: 'Normal' | 'Warning', reason: string, message: string) =>
      this.record(claim, type, reason, message);
    const wanted: string | undefined = claim.spec.storageClassName;
    if (wanted === undefined) {
      // A class became the default after the claim was created.
      const found = defaultClass(this.cluster.store.list('storageclasses'));
      if (found) {
        this.cluster.patch(claim, { spec: { storageClassName: found.metadata.name } });
        return;
      }
    }
    if (!wanted) {
      const why = 'no persistent volumes available for this claim and no storage class is set';
      return note('Normal', 'FailedBinding', why);
    }
    const found = this.#classOf(claim);
    if (!found) {
      const why = `storageclass.storage.k8s.io ${JSON.stringify(wanted)} not found`;
      return note('Warning', 'ProvisioningFailed', why);
    }
    if (this.#isDelayed(claim) && !claim.metadata.annotations?.[SELECTED_NODE]) {
      const pods = this.#users.waitingPods(key);
      if (pods.length > 0) {
        return note('Normal', 'WaitForPodScheduled', `waiting for pod ${pods[0]} to be scheduled`);
      }
      const why = 'waiting for first consumer to be created before binding';
      return note('Normal', 'WaitForFirstConsumer', why);
    }
    const provisioner = String(found.provisioner);
    if (provisioner === PROVISIONER && this.#folder !== null) return this.#provision(claim, found);
    // Users create the volumes of this class.
    if (provisioner === NO_PROVISIONER) return;
    const why =
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' or ` +
      'manually by the system administrator. If volume creation is delayed, please verify that ' +
      'the provisioner is running and correctly registered.';
    note('Normal', 'ExternalProvisioning', why);
  }

  #provision(claim: KubeObject, storageClass: KubeObject): void {
    const { accessModes, resources, volumeMode } = claim.spec;
    const { dataSource, dataSourceRef = dataSource } = claim.spec;
    const name = `pvc-${claim.metadata.uid}`;
    const className = storageClass.metadata.name;
    const fail = (why: string) => {
      const what = `failed to provision volume with StorageClass ${JSON.stringify(className)}`;
      this.record(claim, 'Warning', 'ProvisioningFailed', `${what}: ${why}`);
    };
    if (volumeMode === 'Block') {
      return fail('volumeMode Block: expected Filesystem, since volumes are folders');
    }
    if (dataSourceRef) {
      const source = `${dataSourceRef.kind} ${JSON.stringify(dataSourceRef.name)}`;
      const next = 'create a claim without it and copy the data in a pod';
      return fail(`dataSource ${source}: expected none, since new volumes are empty: ${next}`);
    }
    const path = folderOf(this.#folder!, name);
    mkdirSync(path, { recursive: true });
    // Containers run as any user, and the umask of this process does not apply to them.
    chmodSync(path, 0o777);
    this.cluster.create('PersistentVolume', '', {
      metadata: { name, annotations: { [PROVISIONED_BY]: PROVISIONER } },
      spec: {
        ...{ accessModes, volumeMode, storageClassName: className },
        capacity: { storage: resources.requests.storage },
        claimRef: referenceTo(claim),
        hostPath: { path, type: 'DirectoryOrCreate' },
        persistentVolumeReclaimPolicy: storageClass.reclaimPolicy,
      },
    });
    const done = `Successfully provisioned volume ${name}`;
    this.record(claim, 'Normal', 'ProvisioningSucceeded', done);
  }
}
