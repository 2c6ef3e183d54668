// Clients with a cache of a kind, and the events that they received.
import {
  CoreV1Api,
  DiscoveryV1Api,
  KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  makeInformer,
} from '@kubernetes/client-node';
import { connectKube } from '../../../control/kube/client.ts';
import { isGone } from '../../../control/kube/error.ts';
import { startInformer } from '../../../control/kube/informer.ts';
import { KINDS, pathOf } from '../../../control/kube/kinds.ts';

export const OBSERVED = ['ConfigMap', 'Service', 'EndpointSlice'] as const;
export type ObservedKind = (typeof OBSERVED)[number];

/** Events of one kind at one client. */
export interface Observer {
  name: string;
  kind: ObservedKind;
  /** Key -> the version of each event, in order; a deletion as 0. */
  events: Map<string, number[]>;
  lists: number;
  /** Number of times that it had to list again. */
  gone: number;
  /** Key -> version in its cache. */
  picture(): Map<string, number>;
  stop(): void;
}

interface Named {
  metadata?: { namespace?: string; name?: string; resourceVersion?: string };
}

export const keyOf = ({ metadata }: Named) => `${metadata?.namespace}/${metadata?.name}`;
export const versionOf = ({ metadata }: Named) => Number(metadata?.resourceVersion);

function record(observer: Observer, key: string, version: number): void {
  const events = observer.events.get(key) ?? [];
  events.push(version);
  observer.events.set(key, events);
}

/** The official informer: an error ends it, and its user restarts it, as documented. */
export function observeOfficially(kubeconfig: string, kind: ObservedKind): Observer {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const discovery = config.makeApiClient(DiscoveryV1Api);
  const LISTS: Record<ObservedKind, () => Promise<KubernetesListObject<KubernetesObject>>> = {
    ConfigMap: () => core.listConfigMapForAllNamespaces(),
    Service: () => core.listServiceForAllNamespaces(),
    EndpointSlice: () => discovery.listEndpointSliceForAllNamespaces(),
  };
  let stopped = false;
  const informer = makeInformer(config, pathOf(kind), () => {
    observer.lists++;
    return LISTS[kind]();
  });
  const observer: Observer = {
    ...{ name: `official ${KINDS[kind].plural}`, kind, events: new Map(), lists: 0, gone: 0 },
    picture: () => new Map(informer.list().map((o) => [keyOf(o), versionOf(o)])),
    stop: () => {
      stopped = true;
      void informer.stop();
    },
  };
  for (const verb of ['add', 'update'] as const) {
    informer.on(verb, (o: KubernetesObject) => record(observer, keyOf(o), versionOf(o)));
  }
  informer.on('delete', (o: KubernetesObject) => record(observer, keyOf(o), 0));
  informer.on('error', (error: unknown) => {
    const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown };
    if (code === 410 || statusCode === 410) observer.gone++;
    if (!stopped) setTimeout(() => !stopped && void informer.start(), 100);
  });
  void informer.start();
  return observer;
}

/** The agent's own informer. */
export function observeOurs(kubeconfig: string, kind: ObservedKind): Observer {
  const kube = connectKube(kubeconfig);
  const counted = new Proxy(kube, {
    get(target, property) {
      if (property === 'list') observer.lists++;
      const value = Reflect.get(target, property) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const versions = new Map<string, number>();
  const observer: Observer = {
    ...{ name: `own ${KINDS[kind].plural}`, kind, events: new Map(), lists: 0, gone: 0 },
    picture: () => new Map(versions),
    stop: () => {
      informer.stop();
      kube.close();
    },
  };
  const informer = startInformer(
    counted,
    kind,
    { pacing: { backoffMsMin: 50, backoffMsMax: 500 } },
    {
      onUpsert: (object: Named, _before, key) => {
        versions.set(key, versionOf(object));
        record(observer, key, versionOf(object));
      },
      onDelete: (_object, key) => {
        versions.delete(key);
        record(observer, key, 0);
      },
      onSynced: () => {},
      onSkip: (_key, error) => {
        throw error;
      },
      onError: (error) => {
        if (isGone(error)) observer.gone++;
      },
    },
  );
  return observer;
}
