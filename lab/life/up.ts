// Bringing a lab up: check everything first, then network, supervisor, nodes, manifests; on failure leave nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { stateDir } from '../../control/cli/options.ts';
import { connectKube, type KubeClient } from '../../control/kube/client.ts';
import { KubetunError } from '../../datapath/error.ts';
import { namespacesOfLab } from '../host/namespaces.ts';
import { identify, isAlive } from '../host/process.ts';
import { requireMachine } from '../host/tools.ts';
import { applyPlan } from '../plan/apply.ts';
import { planLab } from '../plan/plan.ts';
import { lastLine } from '../state/log.ts';
import { requireLabName } from '../state/names.ts';
import {
  kubeconfigPath,
  PROJECT_ROOT,
  requireOwnPrefix,
  supervisorLogPath,
} from '../state/paths.ts';
import { type LabRecord, readRecord, updateRecord, writeRecord } from '../state/record.ts';
import type { SupervisorMessage } from '../supervisor/main.ts';
import type { Topology } from '../topology/topology.ts';
import { takeDown } from './down.ts';
import { applyManifests, type ManifestObject } from './manifest.ts';
import { Progress } from './progress.ts';
import { waitPodsReady } from './wait.ts';

export interface UpOptions {
  lab: string;
  topology: Topology;
  manifests: ManifestObject[];
  /** The API server keeps nothing on disk. */
  ephemeral: boolean;
}

const START_MS_MAX = 60_000;

/**
 * Makes a lab, or takes up one whose supervisor has died, and returns when its nodes forward and the manifests'
 * pods are ready. Throws KubetunError, with everything taken back that was made here, unless it is a manifest that
 * fails: then the lab stays for whoever wants to look.
 */
export async function bringUp(options: UpOptions): Promise<Progress> {
  const { lab, manifests } = options;
  requireLabName(lab);
  requireMachine();
  requireOwnPrefix(lab);
  const orphan = findOrphan(lab);
  const topology = orphan?.topology ?? options.topology;
  // Only now: what it needs is much to load.
  if (manifests.length > 0) (await import('./check.ts')).checkManifests(manifests, topology);
  const progress = new Progress();
  if (orphan) await takeUp(orphan, progress);
  else await make(options, progress);
  await bringManifests(lab, manifests, progress);
  return progress;
}

async function make({ lab, topology, ephemeral }: UpOptions, progress: Progress): Promise<void> {
  mkdirSync(stateDir(lab), { recursive: true, mode: 0o755 });
  writeRecord({
    lab,
    topology,
    created: new Date().toISOString(),
    phase: 'starting',
    maker: identify(process.pid),
    supervisor: null,
    ephemeral,
    internet: null,
    apiPort: 0,
  });
  const takenBack = takeBackOnSignal(lab);
  try {
    await applyPlan(planLab(lab, topology));
    const nodes = topology.nodes.map((node) => node.name).join(', ');
    progress.done(`network namespaces: fabric, cloud, internet, ${nodes}`);
    await startSupervisorProcess(lab, topology, progress);
    updateRecord(lab, { phase: 'up', maker: null });
  } catch (error) {
    if (!takenBack.is) await takeDown(lab);
    throw error;
  } finally {
    takenBack.disarm();
  }
}

/** Starts a supervisor for a lab that has lost its own: agents, pods and connections have gone on, and go on. */
async function takeUp({ lab, topology }: LabRecord, progress: Progress): Promise<void> {
  progress.done(`lab ${lab} is there without its supervisor: taking it up`);
  await startSupervisorProcess(lab, topology, progress);
}

/**
 * The record of a lab that runs without its supervisor; null if there is nothing of that name. Throws KubetunError
 * KT_LAB_UP for one that is whole, KT_LAB_BROKEN for one that cannot be taken up.
 */
function findOrphan(lab: string): LabRecord | null {
  const record = readRecord(lab);
  if (!record && namespacesOfLab(lab).length === 0) return null;
  const runs = record?.supervisor != null && isAlive(record.supervisor);
  const starts = record?.maker != null && isAlive(record.maker);
  if (runs || starts) {
    throw new KubetunError(
      'KT_LAB_UP',
      `lab ${lab} is ${runs ? 'up already' : 'being started'}`,
      'look at it with scripts/kubetun lab status, end it with scripts/kubetun lab down, or choose another name with --lab',
    );
  }
  // What an API server forgot no agent and no pod could be held against.
  if (record?.phase === 'up' && !record.ephemeral) return record;
  throw new KubetunError(
    'KT_LAB_BROKEN',
    `lab ${lab} was left behind half made`,
    `remove what is left with scripts/kubetun --lab ${lab} lab down`,
  );
}

/** An impatient Ctrl-C leaves nothing half-made. */
function takeBackOnSignal(lab: string): { is: boolean; disarm(): void } {
  const state = { is: false, disarm: () => {} };
  const stop = async () => {
    if (state.is) return;
    state.is = true;
    process.stderr.write('  interrupted: taking back what was made\n');
    await takeDown(lab);
    process.exit(130);
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, stop);
  state.disarm = () => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.removeListener(name, stop);
  };
  return state;
}

/** Resolves once every node is ready. Throws KubetunError KT_LAB_START with what stood in the way. */
async function startSupervisorProcess(
  lab: string,
  topology: Topology,
  progress: Progress,
): Promise<void> {
  const child = spawnSupervisor(lab);
  // At once: whoever takes the lab down must find it, however far it has come.
  updateRecord(lab, { supervisor: identify(child.pid ?? -1) });
  const waiting = new Set(topology.nodes.map((node) => node.name));
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (message: string, next = '') =>
        reject(new KubetunError('KT_LAB_START', message, next));
      timer = setTimeout(() => {
        fail(`node ${[...waiting].join(', ')} did not become ready within 60 s`);
      }, START_MS_MAX);
      child.once('error', (error) => fail(`the supervisor does not start: ${error.message}`));
      child.once('exit', (code, name) => {
        fail(`the supervisor ended (${name ?? code}): ${lastLine(supervisorLogPath(lab))}`);
      });
      child.on('message', (message: SupervisorMessage) => {
        switch (message.stage) {
          case 'failed':
            return fail(message.message, message.next);
          case 'api':
            return progress.done(`API server on 127.0.0.1:${message.port}`);
          case 'agent':
            waiting.delete(message.node);
            progress.done(`${message.node}: datapath forwards, tables in step`);
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
  const log = openSync(supervisorLogPath(lab), 'a', 0o640);
  try {
    return spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(PROJECT_ROOT, 'lab/supervisor/main.ts'), lab],
      { detached: true, cwd: '/', stdio: ['ignore', log, log, 'ipc'] },
    );
  } finally {
    closeSync(log);
  }
}

/** Applies manifests to a lab that is up, and waits for their pods. */
async function bringManifests(
  lab: string,
  manifests: ManifestObject[],
  progress: Progress,
): Promise<void> {
  if (manifests.length === 0) return;
  const kube: KubeClient = connectKube(kubeconfigPath(lab));
  try {
    await applyManifests(kube, manifests);
    progress.done(`${manifests.length} objects applied`);
    const pods = manifests
      .filter((item) => item.kind === 'Pod')
      .map(({ namespace, name }) => ({ namespace: namespace!, name }));
    if (pods.length === 0) return;
    await waitPodsReady(kube, pods);
    progress.done(`${pods.length} pods ready`);
  } finally {
    kube.close();
  }
}
