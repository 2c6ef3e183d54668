// EndpointSlices of Services that have a selector.
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { controllerRef } from '../owners.ts';
import { desiredGroups, hasSelector } from './desired.ts';
import { placeEndpoints } from './place.ts';
import { podIndex, selectPods } from './pod-index.ts';
import { ServiceIndex } from './service-index.ts';
import {
  HEADLESS_LABEL,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  serviceOf,
  sliceIndex,
} from './slice-index.ts';

const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** Keeps the slices of every Service with a selector in step with its pods. */
export class EndpointSliceController extends Controller {
  readonly #pods = podIndex();
  readonly #services = new ServiceIndex();
  readonly #slices = sliceIndex(MANAGED_BY);
  /** The Service whose slices the controller writes now. Their events need no work. */
  #writing = '';

  constructor(cluster: Cluster) {
    super(cluster);
    this.follow('pods', (change) => this.#onPod(change));
    this.follow('services', (change) => this.#onService(change));
    cluster.store.each('endpointslices', (object) => this.#slices.update({ object }));
    this.subscribe('endpointslices', (event) => this.#onSlice(event));
    this.subscribe('nodes', (event) => this.#onNode(event));
  }

  #onPod(change: Change): void {
    const { object, old } = change;
    this.#pods.update(change);
    if (old) this.#enqueueFor(old);
    if (!old || !isEqual(old.metadata.labels, object.metadata.labels)) this.#enqueueFor(object);
  }

  #enqueueFor(pod: KubeObject): void {
    for (const key of this.#services.choosing(pod)) this.queue.add(key);
  }

  #onService({ type, object }: Change): void {
    const key = keyOf(object);
    if (type === 'DELETED') this.#services.remove(key);
    else this.#services.put(key, object);
    this.queue.add(key);
  }

  /** Undoes changes of other writers. */
  #onSlice(change: Change): void {
    const { object, old } = change;
    this.#slices.update(change);
    for (const slice of old ? [old, object] : [object]) {
      const key = serviceOf(slice, MANAGED_BY);
      if (key && key !== this.#writing) this.queue.add(key);
    }
  }

  #onNode({ type, object, old }: Change): void {
    const before = type === 'DELETED' ? zoneOf(object) : zoneOf(old);
    const after = type === 'DELETED' ? undefined : zoneOf(object);
    if (before === after) return;
    for (const pod of this.cluster.store.list('pods')) {
      if (pod.spec.nodeName === object.metadata.name) this.#enqueueFor(pod);
    }
  }

  protected reconcile(key: string): void {
    this.#writing = key;
    try {
      this.#write(key);
    } finally {
      this.#writing = '';
    }
  }

  #write(key: string): void {
    const { store } = this.cluster;
    const service = store.at('services', key);
    const found = this.#slices.of(key);
    if (!service || service.metadata.deletionTimestamp || !hasSelector(service)) {
      for (const slice of found) this.cluster.remove(slice);
      return;
    }
    const slices = found.filter((slice) => isOwnedBy(slice, service));
    const foreign = found.filter((slice) => !slices.includes(slice));
    const namespace = service.metadata.namespace!;
    const chosen = selectPods(this.#pods, namespace, service.spec.selector);
    const groups = desiredGroups(service, chosen, (n) => zoneOf(store.get('nodes', '', n)));
    const { create, update, remove } = placeEndpoints(groups, slices);
    const labels = labelsOf(service);
    const changed = new Map(update.map(({ slice, endpoints }) => [slice, endpoints]));
    for (const slice of slices) {
      const endpoints = changed.get(slice);
      if (remove.includes(slice)) continue;
      if (!endpoints && isEqual(slice.metadata.labels, labels)) continue;
      const metadata = { ...slice.metadata, labels };
      this.cluster.replace({ ...slice, metadata, ...(endpoints && { endpoints }) });
    }
    // New slices come before old ones go, so that watchers never see a gap.
    for (const parts of create) {
      this.cluster.create('EndpointSlice', namespace, sliceOf(service, labels, parts));
    }
    for (const slice of [...remove, ...foreign]) this.cluster.remove(slice);
  }
}

/**
 * A new Service must not take over slices of a deleted one with the same name. The collector
 * removes those.
 */
function isOwnedBy({ metadata }: KubeObject, service: KubeObject): boolean {
  return metadata.ownerReferences?.some(({ uid }) => uid === service.metadata.uid) === true;
}

function sliceOf(service: KubeObject, labels: Record<string, string>, parts: object): object {
  const { name } = service.metadata;
  const metadata = {
    generateName: `${name}-`,
    labels,
    ownerReferences: [controllerRef(service)],
  };
  return { metadata, addressType: 'IPv4', ...parts };
}

/** Slices have the labels of their Service, so that selectors find both. */
function labelsOf({ metadata, spec }: KubeObject): Record<string, string> {
  const { [HEADLESS_LABEL]: _, ...labels } = metadata.labels ?? {};
  return {
    ...labels,
    ...(spec.clusterIP === 'None' && { [HEADLESS_LABEL]: '' }),
    [SERVICE_NAME_LABEL]: metadata.name,
    [MANAGED_BY_LABEL]: MANAGED_BY,
  };
}

function zoneOf(node: KubeObject | undefined): string | undefined {
  return node?.metadata.labels?.[ZONE_LABEL];
}
