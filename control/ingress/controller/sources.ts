// The objects of Ingresses, kept by informers.
import type { KubeClient } from '../../kube/client.ts';
import { type Informer, startInformer } from '../../kube/informer.ts';
import type { EndpointSlice, KubeKind, KubeKinds, Service } from '../../kube/kinds.ts';
import type { Log } from '../../log.ts';
import type { Ingress, IngressClass, IngressObjects, Secret } from '../model.ts';

export interface SourceOptions {
  kube: KubeClient;
  log: Log;
  /** Something has changed. Called only after all kinds have synced. */
  onChange: () => void;
}

export interface Sources {
  objects(): IngressObjects;
  ingress(key: string): Ingress | undefined;
  service(key: string): Service | undefined;
  isSynced(): boolean;
  stop(): void;
}

/** A new pod waits for its network, and HAProxy for the first list. */
const BACKOFF_MS_MAX = 2000;

/** Starts all informers. */
export function followObjects({ kube, log, onChange }: SourceOptions): Sources {
  const waiting = new Set<KubeKind>();
  const informers: { stop(): void }[] = [];
  const changed = () => {
    if (waiting.size === 0) onChange();
  };
  const follow = <K extends KubeKind>(kind: K): Informer<KubeKinds[K]> => {
    waiting.add(kind);
    const informer = startInformer<K>(
      kube,
      kind,
      { compact: withoutManagers, pacing: { backoffMsMax: BACKOFF_MS_MAX } },
      {
        onUpsert: changed,
        onDelete: changed,
        onSynced: () => {
          log.info({ kind }, 'synced');
          waiting.delete(kind);
          changed();
        },
        onError: (error, retryMs) => {
          const why = error instanceof Error ? error.message : error;
          log.warn({ kind, retryMs, why }, 'watch lost: HAProxy goes on as it is');
        },
        onSkip: (key, { message }) => {
          log.warn({ kind, key, why: message }, 'object skipped: its version before stays');
        },
      },
    );
    informers.push(informer);
    return informer;
  };
  const ingresses: Informer<Ingress> = follow('Ingress');
  const classes: Informer<IngressClass> = follow('IngressClass');
  const services: Informer<Service> = follow('Service');
  const slices: Informer<EndpointSlice> = follow('EndpointSlice');
  const secrets: Informer<Secret> = follow('Secret');
  return {
    objects: () => ({
      ingresses: [...ingresses.rows()],
      classes: [...classes.rows()],
      services: [...services.rows()],
      slices: [...slices.rows()],
      secrets: [...secrets.rows()],
    }),
    ingress: (key) => ingresses.get(key),
    service: (key) => services.get(key),
    isSynced: () => waiting.size === 0,
    stop: () => {
      for (const informer of informers) informer.stop();
    },
  };
}

/** Field owners take more memory than the rest of an object. */
function withoutManagers<T extends { metadata?: object }>(object: T): T {
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}
