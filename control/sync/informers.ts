import type { KubeClient } from '../kube/client.ts';
import { recordSkip } from '../kube/event.ts';
import { type Informer, type InformerHandlers, startInformer } from '../kube/informer.ts';
import type { KubeKind, KubeKinds } from '../kube/kinds.ts';
import type { Log } from '../log.ts';
import { readNamespace, readNetworkPolicy } from '../model/network-policy.ts';
import { type NamedAddress, readNamedAddress, readNode, requirePodRanges } from '../model/node.ts';
import { objectKey } from '../model/parse.ts';
import { readPolicyPod } from '../model/pod.ts';
import type { PolicyTables } from '../model/policy-tables.ts';
import { readService } from '../model/service.ts';
import { readSlice } from '../model/slice.ts';
import type { Tables } from '../model/tables.ts';
import type { Publisher } from './publisher.ts';

/** Kinds that the tables hold. Nothing is published before all of them have synced. */
export const SOURCES: KubeKind[] = ['Service', 'EndpointSlice', 'Node', 'NetworkPolicy'];

type Start = <K extends KubeKind, R>(
  kind: K,
  compact: (object: KubeKinds[K]) => R,
  put: (row: R, before: R | null) => void,
  drop: (row: R) => void,
) => Informer<R>;

/** Returns a function that starts the informer of a kind and connects it to the publisher. */
export function sourceStarter(
  client: KubeClient,
  publisher: Pick<Publisher, 'changed' | 'sourceSynced' | 'sourceStarted'>,
  log: Log,
  onSynced: (kind: KubeKind) => void = () => {},
): Start {
  return (kind, compact, put, drop) => {
    const handlers: InformerHandlers<ReturnType<typeof compact>> = {
      onUpsert: (row, before) => {
        put(row, before);
        publisher.changed();
      },
      onDelete: (row) => {
        drop(row);
        publisher.changed();
      },
      onSynced: () => {
        log.info({ kind }, 'synced');
        publisher.sourceSynced(kind);
        onSynced(kind);
      },
      onError: (error, retryMs) => {
        const why = error instanceof Error ? error.message : error;
        log.warn({ kind, retryMs, why }, 'watch lost');
      },
      onSkip: (key, { message }, object) => {
        const note = (why: string, text: string) => log.warn({ kind, key, why }, text);
        note(message, 'object skipped: its previous version stays in force');
        void recordSkip(client, { kind, key, object }, message, 'kubetun').then((why) => {
          if (why !== null) note(why, 'the Event about a skipped object was not written');
        });
      },
    };
    const informer = startInformer(client, kind, { compact }, handlers);
    publisher.sourceStarted(kind, informer.skipped);
    return informer;
  };
}

/**
 * Starts the informers that fill the tables and notify the publisher. Pods and Namespaces are
 * watched from the first NetworkPolicy on.
 *
 * @param steered the address that this node steers, int32. It comes first whatever the Node object
 *   says: replies to another address would not return to the datapath.
 * @param onOwnAddress called with the address in this node's Node object, for each version of it.
 */
export function followCluster(
  client: KubeClient,
  tables: Tables,
  publisher: Publisher,
  log: Log,
  steered: number,
  onOwnAddress: (named: NamedAddress) => void,
): Informer<unknown>[] {
  const start = sourceStarter(client, publisher, log);
  const informers: Informer<unknown>[] = [];
  let podsFollowed = false;
  let isAddressKnown = false;
  const followPods = () => {
    if (podsFollowed) return;
    podsFollowed = true;
    for (const kind of ['Pod', 'Namespace']) publisher.sourceAdded(kind);
    informers.push(...startPods(start, tables.policy));
  };
  informers.push(
    start(
      'Service',
      readService,
      (row) => tables.putService(row),
      (row) => tables.deleteService(row),
    ),
    start(
      'EndpointSlice',
      readSlice,
      (row, before) => tables.putSlice(row, before),
      (row) => tables.deleteSlice(row),
    ),
    start(
      'Node',
      (object) => {
        requirePodRanges(object);
        return { row: readNode(object), named: readNamedAddress(object) };
      },
      ({ row, named }) => {
        // The publisher waits until the Node has its first address.
        isAddressKnown ||= row.name === tables.nodeName && row.addresses.length > 0;
        if (row.name !== tables.nodeName || !isAddressKnown) return tables.putNode(row);
        tables.putNode({ ...row, addresses: [...new Set([steered, ...row.addresses])] });
        onOwnAddress(named);
      },
      ({ row }) => tables.deleteNode(row),
    ),
    start(
      'NetworkPolicy',
      readNetworkPolicy,
      (row) => {
        tables.policy.putPolicy(row);
        followPods();
      },
      (row) => tables.policy.deletePolicy(row.key),
    ),
  );
  return informers;
}

function startPods(start: Start, tables: PolicyTables): Informer<unknown>[] {
  return [
    start(
      'Pod',
      (object) => ({ key: objectKey(object.metadata), row: readPolicyPod(object) }),
      ({ key, row }) => (row ? tables.putPod(row) : tables.deletePod(key)),
      ({ key }) => tables.deletePod(key),
    ),
    start(
      'Namespace',
      readNamespace,
      (row) => tables.putNamespace(row),
      ({ name }) => tables.deleteNamespace(name),
    ),
  ];
}
