// The Ingress controller of a lab: HAProxy in two pods behind a load balancer. It starts with the
// first Ingress of its class, because most labs have none and it costs two Node processes.
import type { Logger } from 'pino';
import type { Reader } from '../../control/apiserver/http/account.ts';
import { CONTROLLER, type Ingress, type IngressClass } from '../../control/ingress/model.ts';
import type { KubeClient } from '../../control/kube/client.ts';
import { recordWarning } from '../../control/kube/event.ts';
import { type Informer, startInformer } from '../../control/kube/informer.ts';
import { HAPROXY_IMAGE, INGRESS_IMAGE, missingHaproxy } from '../pods/container/images.ts';
import type { LabRecord } from '../state/record.ts';
import {
  accountFiles,
  accountToken,
  accountVolume,
  bringObjects,
  type Named,
  type OwnObject,
} from './objects.ts';

const NAMESPACE = 'ingress';
const NAME = 'haproxy';
export const INGRESS_DEPLOYMENT = { namespace: NAMESPACE, name: NAME };
/** Its default class: an Ingress without a class gets it. */
export const INGRESS_CLASS = 'haproxy';
const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const SECRET = 'haproxy-token';
const REPLICAS = 2;
const LABELS = { 'app.kubernetes.io/name': NAME };
/** Files and sockets that HAProxy and the controller of a pod share. */
const FOLDER = '/run/ingress';
const PORT_HTTP = 80;
const PORT_HTTPS = 443;
const PORT_METRICS = 8404;
const PORT_PAGES = 8405;
/**
 * HAProxy serves for this time after the request to end its pod. Load balancers learn within a
 * second that the pod leaves.
 */
const LEAVING_S = 5;
/** Then open connections have this time to end. */
const GRACE_S = 40;
const READ = ['ingresses', 'ingressclasses', 'services', 'endpointslices', 'secrets'];
/** An Ingress without a controller gets its event after this time, as its class may follow. */
const HINT_MS = 3000;
const RETRY_MS = 2000;

/** The account of the controller; none in a lab without Ingress. */
export function ingressReaders({ lab, topology }: LabRecord): Reader[] {
  if (topology.ingress === false) return [];
  return [
    {
      user: `system:serviceaccount:${NAMESPACE}:${NAME}`,
      token: accountToken(lab, NAME),
      resources: READ,
      rights: [
        { resource: 'ingresses/status', methods: ['PATCH'] },
        // Events live in the namespace of their Ingress.
        { resource: 'events', methods: ['POST', 'PATCH'] },
        { resource: 'leases', namespace: NAMESPACE, methods: ['GET', 'POST', 'PATCH'] },
      ],
    },
  ];
}

/** The class exists from the start, so that an Ingress without one gets it. */
const CLASS_OBJECT: OwnObject = [
  'IngressClass',
  {
    metadata: { name: INGRESS_CLASS, annotations: { [DEFAULT_CLASS]: 'true' } },
    spec: { controller: CONTROLLER },
  } as Named,
];

/** @param secret files of the account. */
export function ingressObjects(secret: Record<string, string>): OwnObject[] {
  const named = (name: string) => ({ metadata: { name, namespace: NAMESPACE, labels: LABELS } });
  return [
    ['Namespace', { metadata: { name: NAMESPACE } }],
    ['ServiceAccount', named(NAME)],
    ['Secret', { ...named(SECRET), stringData: secret } as Named],
    ['Service', { ...named(NAME), spec: serviceSpec() } as Named],
    ['Deployment', { ...named(NAME), spec: deploymentSpec() } as Named],
  ];
}

function serviceSpec(): object {
  const port = (name: string, number: number) => ({ name, port: number, targetPort: name });
  return {
    type: 'LoadBalancer',
    // Keeps the addresses of clients.
    externalTrafficPolicy: 'Local',
    selector: LABELS,
    ports: [port('http', PORT_HTTP), port('https', PORT_HTTPS)],
  };
}

function deploymentSpec(): object {
  const account = accountVolume(SECRET);
  const shared = { name: 'shared', mountPath: FOLDER };
  const port = (name: string, containerPort: number) => ({ name, containerPort });
  const lifecycle = { preStop: { exec: { command: ['sleep', String(LEAVING_S)] } } };
  const alive = { path: '/healthz', port: 'metrics' };
  const haproxy = {
    ...{ name: 'haproxy', image: HAPROXY_IMAGE, args: [FOLDER], lifecycle },
    ports: [port('http', PORT_HTTP), port('https', PORT_HTTPS), port('metrics', PORT_METRICS)],
    volumeMounts: [shared],
    // HAProxy starts with the first complete configuration.
    readinessProbe: { httpGet: alive, periodSeconds: 1, timeoutSeconds: 5 },
    livenessProbe: {
      ...{ httpGet: alive, timeoutSeconds: 5, failureThreshold: 6 },
      initialDelaySeconds: 60,
    },
  };
  const controller = {
    ...{ name: 'controller', image: INGRESS_IMAGE, lifecycle },
    args: [`--folder=${FOLDER}`, `--pages=${PORT_PAGES}`],
    ports: [port('controller', PORT_PAGES)],
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
    ],
    volumeMounts: [account.mount, shared],
  };
  return {
    replicas: REPLICAS,
    selector: { matchLabels: LABELS },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    template: {
      metadata: {
        labels: LABELS,
        annotations: { 'kubectl.kubernetes.io/default-container': 'haproxy' },
      },
      spec: {
        serviceAccountName: NAME,
        terminationGracePeriodSeconds: LEAVING_S + GRACE_S,
        containers: [haproxy, controller],
        volumes: [{ name: 'shared', emptyDir: {} }, account.volume],
      },
    },
  };
}

export interface IngressKeeperOptions {
  kube: KubeClient;
  record: LabRecord;
  log: Logger;
}

/**
 * Starts the controller at the first Ingress of its class, or at once if the topology says so. An
 * Ingress that no controller serves gets an event with the reason. Returns what stops it.
 */
export function keepIngress(options: IngressKeeperOptions): () => void {
  const keeper = new IngressKeeper(options);
  return () => keeper.stop();
}

class IngressKeeper {
  readonly #options: IngressKeeperOptions;
  readonly #classes: Informer<IngressClass>;
  readonly #ingresses: Informer<Ingress>;
  readonly #timers = new Set<NodeJS.Timeout>();
  #isBrought = false;

  constructor(options: IngressKeeperOptions) {
    this.#options = options;
    const { kube, record } = options;
    const handlers = { onDelete: () => {}, onSynced: () => {}, onSkip: () => {} };
    this.#classes = startInformer(kube, 'IngressClass', {}, { ...handlers, onUpsert: () => {} });
    this.#ingresses = startInformer(...([kube, 'Ingress', {}] as const), {
      ...handlers,
      onUpsert: (ingress, before, key) => this.#onIngress(ingress, before, key),
    });
    if (record.topology.ingress === false) return;
    this.#bring([CLASS_OBJECT]);
    if (record.topology.ingress === true) this.#start();
  }

  stop(): void {
    this.#classes.stop();
    this.#ingresses.stop();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #onIngress(ingress: Ingress, before: Ingress | null, key: string): void {
    if (before !== null && classOf(before) === classOf(ingress)) return;
    if (this.#isServed(ingress)) return this.#start(ingress, key);
    this.#later(HINT_MS, () => {
      const now = this.#ingresses.get(key);
      if (!now || classOf(now) !== classOf(ingress)) return;
      if (this.#isServed(now)) return this.#start(now, key);
      const why = this.#whyUnserved(now);
      if (why !== null) this.#warn(now, key, why);
    });
  }

  #isServed(ingress: Ingress): boolean {
    const { topology } = this.#options.record;
    const found = this.#classes.get(classOf(ingress) ?? '');
    return topology.ingress !== false && found?.spec?.controller === CONTROLLER;
  }

  /** Null for a class of another controller. */
  #whyUnserved(ingress: Ingress): string | null {
    if (this.#options.record.topology.ingress === false) {
      return 'the lab has no Ingress controller: its topology says ingress: false';
    }
    const name = classOf(ingress);
    const next = `set spec.ingressClassName to ${INGRESS_CLASS}`;
    if (name === null) return `it names no IngressClass, and there was no default one: ${next}`;
    if (this.#classes.get(name)) return null;
    return `there is no IngressClass ${name}: ${next}, or create the class with its controller`;
  }

  #start(ingress?: Ingress, key?: string): void {
    const missing = missingHaproxy();
    if (missing !== null && ingress && key) this.#warn(ingress, key, missing);
    if (this.#isBrought) return;
    this.#isBrought = true;
    const { record, log } = this.#options;
    log.info({ ingress: key }, 'the Ingress controller starts');
    this.#bring(ingressObjects(accountFiles(record.lab, INGRESS_DEPLOYMENT)));
  }

  #bring(objects: OwnObject[]): void {
    const { kube, log } = this.#options;
    bringObjects(kube, objects).catch((error: unknown) => {
      log.warn({ why: String(error) }, 'objects of the Ingress controller are not created yet');
      this.#later(RETRY_MS, () => this.#bring(objects));
    });
  }

  #warn(ingress: Ingress, key: string, message: string): void {
    const { kube, log } = this.#options;
    const about = { kind: 'Ingress' as const, key, object: ingress };
    void recordWarning(kube, {
      ...{ ...about, reason: 'NoController', component: 'lab', message },
    }).then((failure) => {
      if (failure !== null) log.warn({ key, why: failure }, 'no event on an Ingress');
    });
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}

function classOf({ metadata, spec }: Ingress): string | null {
  return spec?.ingressClassName ?? metadata?.annotations?.[CLASS_ANNOTATION] ?? null;
}
