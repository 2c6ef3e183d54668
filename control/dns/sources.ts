// Keeps a zone in step with the objects of an API server.
import type { KubeClient } from '../kube/client.ts';
import { startInformer } from '../kube/informer.ts';
import type { KubeKind, KubeKinds } from '../kube/kinds.ts';
import type { Log } from '../log.ts';
import { objectKey } from '../model/parse.ts';
import { readNamespaceName, readPodRow, readServiceRow, readSliceRow } from './rows.ts';
import type { Zone } from './zone.ts';

export interface SourceOptions {
  kube: KubeClient;
  zone: Zone;
  log: Log;
  /** The time from a change of endpoints to the zone, seconds. */
  onProgrammed: (seconds: number) => void;
  clock: () => number;
}

/**
 * Longest delay between attempts to list. A new pod waits for its network, and the server answers
 * only after the first list.
 */
const BACKOFF_MS_MAX = 2000;

/**
 * Starts all informers. Pods are followed only where their names are verified. Returns what stops
 * them.
 */
export function followObjects({ kube, zone, log, onProgrammed, clock }: SourceOptions): () => void {
  const waiting = new Set<KubeKind>();
  const informers: { stop(): void }[] = [];
  const follow = <K extends KubeKind, R>(
    kind: K,
    compact: (object: KubeKinds[K]) => R,
    put: (row: R, before: R | null) => void,
    drop: (row: R) => void,
  ) => {
    waiting.add(kind);
    const informer = startInformer(
      kube,
      kind,
      { compact, pacing: { backoffMsMax: BACKOFF_MS_MAX } },
      {
        onUpsert: put,
        onDelete: drop,
        onSynced: () => {
          log.info({ kind }, 'synced');
          waiting.delete(kind);
          zone.isSynced = waiting.size === 0;
        },
        onError: (error, retryMs) => {
          const why = error instanceof Error ? error.message : error;
          log.warn({ kind, retryMs, why }, 'watch lost: answers stay as they are');
        },
        onSkip: (key, { message }) => {
          log.warn({ kind, key, why: message }, 'object skipped: its version before stays');
        },
      },
    );
    informers.push(informer);
  };
  follow(
    'Namespace',
    readNamespaceName,
    (name) => zone.putNamespace(name),
    (name) => zone.deleteNamespace(name),
  );
  follow(
    'Service',
    readServiceRow,
    (row) => zone.putService(row),
    (row) => zone.deleteService(row),
  );
  follow(
    'EndpointSlice',
    readSliceRow,
    (row, before) => {
      zone.putSlice(row, before);
      // Slices of the first list changed long before this server ran.
      if (!zone.isSynced || row.triggeredMs === null) return;
      onProgrammed(Math.max(0, clock() - row.triggeredMs) / 1000);
    },
    (row) => zone.deleteSlice(row),
  );
  if (zone.pods === 'verified') {
    follow(
      'Pod',
      (object) => ({ key: objectKey(object.metadata), row: readPodRow(object) }),
      ({ key, row }, before) => zone.putPod(key, row, before?.row ?? null),
      ({ key, row }) => zone.deletePod(key, row),
    );
  }
  return () => {
    for (const informer of informers) informer.stop();
  };
}
