// Brings a lab up: checks everything first, then makes network, supervisor, nodes and objects. A
// failure leaves nothing behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { makeFolder } from '../../control/files.ts';
import { onInterrupt } from '../../control/interrupt.ts';
import { connectKube, type KubeClient } from '../../control/kube/client.ts';
import { CLOUD, stateDir } from '../../control/places.ts';
import { KubetunError } from '../../datapath/error.ts';
import { identify, isAlive, processesWithVariable } from '../host/process.ts';
import { requireMachine } from '../host/tools.ts';
import { LAB_VARIABLE } from '../places/names.ts';
import {
  agentLogPath,
  holdsLab,
  kubeconfigPath,
  namespacesOfLab,
  PROJECT_ROOT,
  requireOwnFolder,
  requireOwnPrefix,
  SUPERVISOR_ENTRY,
  supervisorLogPath,
} from '../places/paths.ts';
import { applyPlan } from '../plan/apply.ts';
import { planLab } from '../plan/plan.ts';
import { lockLab } from '../state/lock.ts';
import { lastWords } from '../state/log.ts';
import { type LabRecord, readRecord, updateRecord, writeRecord } from '../state/record.ts';
import { DNS_DEPLOYMENT } from '../supervisor/dns.ts';
import { INGRESS_CLASS, INGRESS_DEPLOYMENT } from '../supervisor/ingress.ts';
import type { SupervisorMessage } from '../supervisor/main.ts';
import { defaultTopology, dnsAddress, type Topology } from '../topology/topology.ts';
import { takeDown } from './down.ts';
import { applyManifests, type ManifestObject } from './manifest.ts';
import { Progress } from './progress.ts';
import { waitDeploymentReady, waitPodsReady } from './wait.ts';

export interface UpOptions {
  lab: string;
  /** Null stands for the default topology, or for that of a lab that is resumed. */
  topology: Topology | null;
  manifests: ManifestObject[];
  /** The API server keeps nothing on disk. */
  ephemeral: boolean;
}

const START_MS_MAX = 60_000;

/**
 * Makes a lab, or resumes one whose supervisor has died. Returns when its nodes forward and the
 * manifests' pods are ready. Throws KubetunError and removes what it has made. If only a manifest
 * fails, the lab stays.
 */
export async function bringUp(options: UpOptions): Promise<Progress> {
  const { lab, manifests } = options;
  requireMachine(options.topology?.ingress === true ? { haproxy: 'haproxy' } : {});
  requireOwnPrefix(lab);
  const lock = await lockLab(lab, 0);
  try {
    if (isHalfMade(lab)) await takeDown(lab);
    const orphan = findOrphan(lab);
    if (orphan) requireSame(orphan, options);
    else requireOwnFolder(lab);
    const topology = orphan?.topology ?? options.topology ?? defaultTopology();
    // Imported late because it loads many modules.
    if (manifests.length > 0) (await import('./check.ts')).checkManifests(manifests, topology);
    const progress = new Progress();
    if (orphan) await takeUp(orphan, progress);
    else await make(lab, topology, options.ephemeral, progress);
    await useApi(lab, async (kube) => {
      if (topology.dns !== false) await waitDns(kube, topology, progress);
      if (manifests.length > 0) await bringManifests(kube, manifests, progress);
      if (needsIngress(topology, manifests)) await waitIngress(kube, progress);
    });
    return progress;
  } finally {
    lock.release();
  }
}

async function make(
  lab: string,
  topology: Topology,
  ephemeral: boolean,
  progress: Progress,
): Promise<void> {
  const takenBack = takeBackOnSignal(lab);
  try {
    makeFolder(stateDir(lab));
    writeRecord({
      lab,
      topology,
      created: new Date().toISOString(),
      phase: 'starting',
      maker: identify(process.pid),
      supervisor: null,
      ephemeral,
      internet: null,
      logWriter: null,
      apiPort: 0,
    });
    takenBack.plan = applyPlan(planLab(lab, topology));
    await takenBack.plan;
    // A supervisor that starts during the removal would not be found.
    if (takenBack.is) await takenBack.ended;
    const nodes = topology.nodes.map((node) => node.name).join(', ');
    progress.done(`network namespaces: fabric, cloud, internet, ${nodes}`);
    await startSupervisorProcess(lab, topology, progress);
    updateRecord(lab, { phase: 'up', maker: null });
  } catch (error) {
    // Failures during the removal are expected.
    if (takenBack.is) await takenBack.ended;
    await takeDown(lab);
    if (takenBack.is) await takenBack.ended;
    throw describeMaking(lab, error);
  } finally {
    takenBack.disarm();
  }
}

/** Starts a new supervisor for a lab that has lost its own. Agents, pods and connections go on. */
async function takeUp({ lab, topology }: LabRecord, progress: Progress): Promise<void> {
  progress.done(`lab ${lab} has lost its supervisor: resuming it`);
  updateRecord(lab, { maker: identify(process.pid) });
  try {
    await startSupervisorProcess(lab, topology, progress);
  } finally {
    updateRecord(lab, { maker: null });
  }
}

/** Throws KubetunError KT_LAB_OTHER if the options differ from the lab that is to be resumed. */
function requireSame(orphan: LabRecord, { lab, topology, ephemeral }: UpOptions): void {
  const differs = topology !== null && !isDeepStrictEqual(topology, orphan.topology);
  if (!differs && !ephemeral) return;
  const difference = differs ? 'has another topology' : 'keeps its objects on disk';
  throw new KubetunError(
    'KT_LAB_OTHER',
    `lab ${lab} has lost its supervisor and ${difference}`,
    'resume it with scripts/kubetun lab up without options, or remove it with lab down',
  );
}

/** A full disk or a read-only folder gets an error message instead of a stack trace. */
function describeMaking(lab: string, error: unknown): unknown {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (error instanceof KubetunError || code === undefined || syscall === undefined) return error;
  const folder = dirname(stateDir(lab));
  const next = `make room in ${folder}, or set KUBETUN_RUN_DIR to another folder`;
  return new KubetunError('KT_LAB_START', message, next, { cause: error });
}

/**
 * True for the remains of a killed `lab up`. The caller holds the lock, so no `lab up` is at work.
 * A folder without record and processes holds objects of an ended lab.
 */
function isHalfMade(lab: string): boolean {
  const record = readRecord(lab);
  if (record) return record.phase === 'starting';
  const lives = namespacesOfLab(lab).length + processesWithVariable(LAB_VARIABLE, lab).length > 0;
  return !lives && holdsLab(lab);
}

/**
 * The record of a lab that runs without its supervisor. Null if there is no lab of that name.
 * Throws KubetunError KT_LAB_UP for a complete lab, KT_LAB_BROKEN for one that cannot be resumed.
 */
function findOrphan(lab: string): LabRecord | null {
  const record = readRecord(lab);
  const namespaces = namespacesOfLab(lab);
  if (!record && namespaces.length + processesWithVariable(LAB_VARIABLE, lab).length === 0) {
    return null;
  }
  if (record?.supervisor != null && isAlive(record.supervisor)) {
    throw new KubetunError(
      'KT_LAB_UP',
      `lab ${lab} is up already`,
      'see scripts/kubetun lab status, end it with scripts/kubetun lab down, or choose --lab NAME',
    );
  }
  // Without the API server's objects, agents and pods have nothing to be compared with.
  if (record?.phase === 'up' && !record.ephemeral) return record;
  throw new KubetunError(
    'KT_LAB_BROKEN',
    `lab ${lab} runs but cannot be resumed: its record or its objects are gone`,
    'remove what is left with scripts/kubetun lab down',
  );
}

interface TakenBack {
  is: boolean;
  /** Ends when no step of the plan runs any more. Only then the plan can be undone. */
  plan: Promise<unknown>;
  /** Never resolves, because the process ends first. */
  ended: Promise<never>;
  disarm(): void;
}

/** On a signal, removes what was made. */
function takeBackOnSignal(lab: string): TakenBack {
  const state: TakenBack = {
    ...{ is: false, plan: Promise.resolve(), ended: new Promise<never>(() => {}) },
    disarm: onInterrupt(async () => {
      state.is = true;
      process.stderr.write('  interrupted: removing what was made\n');
      await state.plan.catch(() => {});
      await takeDown(lab);
    }),
  };
  return state;
}

/**
 * Resolves once every node and the cloud are ready. Throws KubetunError KT_LAB_START with the
 * reason.
 */
async function startSupervisorProcess(
  lab: string,
  topology: Topology,
  progress: Progress,
): Promise<void> {
  const child = spawnSupervisor(lab);
  // Recorded at once, so that `lab down` finds it at any stage.
  updateRecord(lab, { supervisor: identify(child.pid ?? -1) });
  const waiting = new Set([...topology.nodes.map((node) => node.name), CLOUD]);
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (message: string, next = '') =>
        reject(new KubetunError('KT_LAB_START', message, next));
      timer = setTimeout(() => {
        const [node] = waiting;
        const why = lastWords(agentLogPath(lab, node!));
        const nodes = [...waiting].join(', ');
        const late = `${nodes} did not become ready within ${START_MS_MAX / 1000} s`;
        fail(`${late}${why && ` (${node} says: ${why})`}`, 'try again: the machine may be busy');
      }, START_MS_MAX);
      child.once('error', (error) => fail(`the supervisor does not start: ${error.message}`));
      child.once('exit', (code, name) => {
        fail(`the supervisor ended (${name ?? code}): ${lastWords(supervisorLogPath(lab))}`);
      });
      child.on('message', (message: SupervisorMessage) => {
        switch (message.stage) {
          case 'failed':
            return fail(message.message, message.next);
          case 'api':
            return progress.done(`API server on 127.0.0.1:${message.port}`);
          case 'agent':
            waiting.delete(message.node);
            progress.done(`${message.node}: forwards, tables in sync`);
            if (waiting.size === 0) resolve();
        }
      });
    });
  } finally {
    clearTimeout(timer);
    child.removeAllListeners();
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function spawnSupervisor(lab: string): ChildProcess {
  const log = openSync(supervisorLogPath(lab), 'a', 0o600);
  try {
    return spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(PROJECT_ROOT, SUPERVISOR_ENTRY), lab],
      {
        ...{ detached: true, cwd: '/', stdio: ['ignore', log, log, 'ipc'] },
        env: { ...process.env, [LAB_VARIABLE]: lab },
      },
    );
  } finally {
    closeSync(log);
  }
}

async function useApi(lab: string, use: (kube: KubeClient) => Promise<void>): Promise<void> {
  const kube = connectKube(kubeconfigPath(lab));
  try {
    await use(kube);
  } finally {
    kube.close();
  }
}

/** `lab up` waits for DNS, so that names resolve from the first moment. */
async function waitDns(kube: KubeClient, { ranges }: Topology, progress: Progress): Promise<void> {
  await waitDeploymentReady(kube, DNS_DEPLOYMENT);
  progress.done(`DNS answers at ${dnsAddress(ranges)}`);
}

/** The lab starts the Ingress controller for one of these manifests, or by its topology. */
function needsIngress({ ingress }: Topology, manifests: ManifestObject[]): boolean {
  const isOwn = ({ kind, object }: ManifestObject) => {
    const { ingressClassName = INGRESS_CLASS } = (object.spec ?? {}) as Record<string, unknown>;
    return kind === 'Ingress' && ingressClassName === INGRESS_CLASS;
  };
  return ingress === true || (ingress !== false && manifests.some(isOwn));
}

async function waitIngress(kube: KubeClient, progress: Progress): Promise<void> {
  await waitDeploymentReady(kube, INGRESS_DEPLOYMENT);
  const { status } = await kube.get('Service', INGRESS_DEPLOYMENT);
  const address = status?.loadBalancer?.ingress?.[0]?.ip ?? 'no address yet';
  progress.done(`Ingress answers at ${address}`);
}

/** Applies manifests to a lab that is up, and waits for their pods. */
async function bringManifests(
  kube: KubeClient,
  manifests: ManifestObject[],
  progress: Progress,
): Promise<void> {
  await applyManifests(kube, manifests);
  progress.done(`${manifests.length} objects applied`);
  const pods = manifests
    .filter((item) => item.kind === 'Pod')
    .map(({ namespace, name }) => ({ namespace: namespace!, name }));
  if (pods.length === 0) return;
  await waitPodsReady(kube, pods);
  progress.done(`${pods.length} pods ready`);
}
