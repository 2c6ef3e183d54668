// The columns of each kind: pkg/printers/internalversion/printers.go.
import type { KubeKind } from '../../kube/kinds.ts';
import type { KubeObject } from '../../kube/object.ts';
import { formatLabels, formatSelector } from '../verbs/selectors.ts';
import * as show from './cells.ts';
import { formatAge } from './cells.ts';
import { podReady, podRestarts, podStatus } from './pod.ts';

export interface Column {
  name: string;
  type: 'string' | 'integer';
  /** Shown only with `-o wide`. */
  wide: boolean;
  cell: (object: KubeObject) => string | number;
}

type Cell = Column['cell'];

const text = (name: string, cell: Cell): Column => ({ name, type: 'string', wide: false, cell });
const number = (name: string, cell: Cell): Column => ({ ...text(name, cell), type: 'integer' });
const wide = (name: string, cell: Cell): Column => ({ ...text(name, cell), wide: true });

const NAME = text('Name', (o) => o.metadata.name);
const AGE = text('Age', (o) => formatAge(o.metadata.creationTimestamp));
const TEMPLATE = [
  wide('Containers', (o) => show.templateContainers(o, 'name')),
  wide('Images', (o) => show.templateContainers(o, 'image')),
  wide('Selector', (o) => formatSelector(o.spec?.selector)),
];

/** The template of a CronJob is inside of its template of a Job. */
const CRON_TEMPLATE = TEMPLATE.map(
  (column): Column => ({
    ...column,
    cell: (o) => column.cell({ ...o, spec: o.spec?.jobTemplate?.spec }),
  }),
);

const COLUMNS: Partial<Record<KubeKind, Column[]>> = {
  Namespace: [NAME, text('Status', (o) => o.status?.phase ?? ''), AGE],
  Node: [
    NAME,
    text('Status', show.nodeStatus),
    text('Roles', show.nodeRoles),
    AGE,
    text('Version', (o) => o.status?.nodeInfo?.kubeletVersion ?? ''),
    wide('Internal-IP', (o) => show.nodeAddress(o, 'InternalIP')),
    wide('External-IP', (o) => show.nodeAddress(o, 'ExternalIP')),
    wide('OS-Image', (o) => o.status?.nodeInfo?.osImage || '<unknown>'),
    wide('Kernel-Version', (o) => o.status?.nodeInfo?.kernelVersion || '<unknown>'),
    wide('Container-Runtime', (o) => o.status?.nodeInfo?.containerRuntimeVersion || '<unknown>'),
  ],
  Pod: [
    NAME,
    text('Ready', podReady),
    text('Status', podStatus),
    text('Restarts', podRestarts),
    AGE,
    wide('IP', (o) => o.status?.podIP || '<none>'),
    wide('Node', (o) => o.spec?.nodeName || '<none>'),
    wide('Nominated Node', (o) => o.status?.nominatedNodeName || '<none>'),
    wide('Readiness Gates', show.readinessGates),
  ],
  Service: [
    NAME,
    text('Type', (o) => o.spec?.type ?? ''),
    text('Cluster-IP', (o) => o.spec?.clusterIP || '<none>'),
    text('External-IP', show.serviceExternal),
    text('Port(s)', show.servicePorts),
    AGE,
    wide('Selector', (o) => formatLabels(o.spec?.selector)),
  ],
  Endpoints: [NAME, text('Endpoints', show.endpointsOfSubsets), AGE],
  EndpointSlice: [
    NAME,
    text('AddressType', (o) => String(o.addressType ?? '')),
    text('Ports', show.slicePorts),
    text('Endpoints', show.sliceEndpoints),
    AGE,
  ],
  Event: [
    text('Last Seen', (o) => formatAge(o.lastTimestamp ?? o.eventTime ?? o.firstTimestamp)),
    text('Type', (o) => String(o.type ?? '')),
    text('Reason', (o) => String(o.reason ?? '')),
    text('Object', show.eventObject),
    wide('Subobject', (o) => show.field(o.involvedObject, 'fieldPath')),
    wide('Source', show.eventSource),
    text('Message', (o) => String(o.message ?? '').trim()),
    wide('First Seen', (o) => formatAge(o.firstTimestamp ?? o.eventTime)),
    wide('Count', (o) => String(o.count ?? 1)),
    wide('Name', (o) => o.metadata.name),
  ],
  ConfigMap: [NAME, number('Data', (o) => show.size(o.data) + show.size(o.binaryData)), AGE],
  Secret: [
    NAME,
    text('Type', (o) => String(o.type ?? 'Opaque')),
    number('Data', (o) => show.size(o.data)),
    AGE,
  ],
  ServiceAccount: [NAME, number('Secrets', (o) => show.size(o.secrets)), AGE],
  Deployment: [
    NAME,
    text('Ready', (o) => `${o.status?.readyReplicas ?? 0}/${o.spec?.replicas ?? 1}`),
    number('Up-to-date', (o) => o.status?.updatedReplicas ?? 0),
    number('Available', (o) => o.status?.availableReplicas ?? 0),
    AGE,
    ...TEMPLATE,
  ],
  ReplicaSet: [
    NAME,
    number('Desired', (o) => o.spec?.replicas ?? 1),
    number('Current', (o) => o.status?.replicas ?? 0),
    number('Ready', (o) => o.status?.readyReplicas ?? 0),
    AGE,
    ...TEMPLATE,
  ],
  StatefulSet: [
    NAME,
    text('Ready', (o) => `${o.status?.readyReplicas ?? 0}/${o.spec?.replicas ?? 1}`),
    AGE,
    ...TEMPLATE.slice(0, 2),
  ],
  DaemonSet: [
    NAME,
    number('Desired', (o) => o.status?.desiredNumberScheduled ?? 0),
    number('Current', (o) => o.status?.currentNumberScheduled ?? 0),
    number('Ready', (o) => o.status?.numberReady ?? 0),
    number('Up-to-date', (o) => o.status?.updatedNumberScheduled ?? 0),
    number('Available', (o) => o.status?.numberAvailable ?? 0),
    text('Node Selector', (o) => formatLabels(o.spec?.template?.spec?.nodeSelector)),
    AGE,
    ...TEMPLATE,
  ],
  ControllerRevision: [
    NAME,
    text('Controller', show.ownerName),
    number('Revision', (o) => Number(o.revision ?? 0)),
    AGE,
  ],
  Job: [
    NAME,
    text('Status', show.jobStatus),
    text('Completions', show.jobCompletions),
    text('Duration', show.jobDuration),
    AGE,
    ...TEMPLATE,
  ],
  CronJob: [
    NAME,
    text('Schedule', (o) => o.spec?.schedule ?? ''),
    text('Timezone', (o) => o.spec?.timeZone ?? '<none>'),
    text('Suspend', (o) => (o.spec?.suspend ? 'True' : 'False')),
    number('Active', (o) => show.size(o.status?.active)),
    text('Last Schedule', (o) =>
      o.status?.lastScheduleTime ? formatAge(o.status.lastScheduleTime) : '<none>',
    ),
    AGE,
    ...CRON_TEMPLATE,
  ],
  PersistentVolumeClaim: [
    NAME,
    text('Status', show.storagePhase),
    text('Volume', (o) => o.spec?.volumeName ?? ''),
    text('Capacity', (o) => (o.spec?.volumeName && o.status?.capacity?.storage) || ''),
    text('Access Modes', (o) => show.accessModes(o.status?.accessModes)),
    text('StorageClass', (o) => o.spec?.storageClassName ?? ''),
    text('VolumeAttributesClass', show.attributesClass),
    AGE,
    wide('VolumeMode', (o) => o.spec?.volumeMode ?? '<unset>'),
  ],
  PersistentVolume: [
    NAME,
    text('Capacity', (o) => o.spec?.capacity?.storage ?? ''),
    text('Access Modes', (o) => show.accessModes(o.spec?.accessModes)),
    text('Reclaim Policy', (o) => o.spec?.persistentVolumeReclaimPolicy ?? ''),
    text('Status', show.storagePhase),
    text('Claim', show.claimOf),
    text('StorageClass', (o) => o.spec?.storageClassName ?? ''),
    text('VolumeAttributesClass', show.attributesClass),
    text('Reason', (o) => o.status?.reason ?? ''),
    AGE,
    wide('VolumeMode', (o) => o.spec?.volumeMode ?? '<unset>'),
  ],
  StorageClass: [
    text('Name', show.className),
    text('Provisioner', (o) => String(o.provisioner ?? '')),
    text('ReclaimPolicy', (o) => String(o.reclaimPolicy ?? '')),
    text('VolumeBindingMode', (o) => String(o.volumeBindingMode ?? '')),
    text('AllowVolumeExpansion', (o) => String(o.allowVolumeExpansion ?? false)),
    AGE,
  ],
  Lease: [NAME, text('Holder', (o) => o.spec?.holderIdentity ?? ''), AGE],
  NetworkPolicy: [NAME, text('Pod-Selector', (o) => formatSelector(o.spec?.podSelector)), AGE],
  Ingress: [
    NAME,
    text('Class', (o) => o.spec?.ingressClassName ?? '<none>'),
    text('Hosts', show.ingressHosts),
    text('Address', show.loadBalancer),
    text('Ports', (o) => (show.size(o.spec?.tls) > 0 ? '80, 443' : '80')),
    AGE,
  ],
  IngressClass: [
    NAME,
    text('Controller', (o) => o.spec?.controller ?? ''),
    text('Parameters', show.ingressParameters),
    AGE,
  ],
};

/** Columns of a kind, by default name and age. */
export function columnsOf(kind: KubeKind): Column[] {
  return COLUMNS[kind] ?? [NAME, AGE];
}
