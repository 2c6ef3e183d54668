// Removes a lab: processes, pods, namespaces and files, in that order, also after a crash of any of
// them.
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ARENA_DIR, arenaOf, CLOUD, stateDir } from '../../control/places.ts';
import { ipBatch } from '../host/ip.ts';
import {
  commandLine,
  endProcesses,
  type ProcessId,
  processesInNamespaces,
  processesWithVariable,
} from '../host/process.ts';
import { LAB_VARIABLE } from '../places/names.ts';
import {
  holdsLab,
  labNames,
  namespaceLink,
  namespacesOfLab,
  RECORD_NAME,
  SUPERVISOR_ENTRY,
} from '../places/paths.ts';
import { removeAllPods } from '../pods/sandbox/cleanup.ts';
import { lockLab } from '../state/lock.ts';
import { readRecord } from '../state/record.ts';
import { readAgent } from '../supervisor/agents.ts';

const GRACE_MS = 5000;
const MAKER_GRACE_MS = 20_000;
const LOCK_MS_MAX = 30_000;
const ROUNDS_MAX = 5;

/**
 * Ends a `lab up` that is at work, then removes the lab. Returns whether there was anything. Throws
 * KubetunError KT_LAB_BUSY while another command ends it.
 */
export async function bringDown(lab: string): Promise<boolean> {
  const maker = readRecordOrNull(lab)?.maker;
  // It undoes what it has made.
  if (maker) await endProcesses([maker], MAKER_GRACE_MS);
  const lock = await lockLab(lab, LOCK_MS_MAX);
  try {
    return await takeDown(lab);
  } finally {
    lock.release();
  }
}

/**
 * Removes a lab. The caller holds its lock. Returns whether there was anything. Processes are found
 * by records, and without records by environment and network namespace. Safe to repeat.
 */
export async function takeDown(lab: string): Promise<boolean> {
  const record = readRecordOrNull(lab);
  const nodes = [...(record?.topology.nodes.map((node) => node.name) ?? []), CLOUD];
  const namespaces = namespacesOfLab(lab);
  const marked = processesWithVariable(LAB_VARIABLE, lab);
  const found =
    holdsLab(lab) || namespaces.length + marked.length + arenasOf(lab, nodes).length > 0;
  if (!found) return false;
  // The supervisor first: it would restart the others.
  const supervisors = [record?.supervisor ?? null, ...marked.filter(isSupervisor)];
  await endProcesses(supervisors.filter(isProcess), GRACE_MS);
  await endProcesses(nodes.map((node) => readAgent(lab, node)).filter(isProcess), GRACE_MS);
  await removeAllPods(lab);
  await endRest(lab);
  await ipBatch(
    null,
    namespacesOfLab(lab).map((name) => `netns del ${name}`),
    { force: true },
  );
  // Agents that were being started may have made arenas since.
  for (const arena of arenasOf(lab, nodes)) rmSync(arena, { force: true });
  removeIfEmpty(ARENA_DIR);
  if (holdsLab(lab)) removeState(lab);
  return true;
}

/**
 * Ends processes without a record. Each round finds processes that were being started in the one
 * before.
 */
async function endRest(lab: string): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const inside = processesInNamespaces(new Set(namespacesOfLab(lab).map(namespaceLink)));
    const rest = [...processesWithVariable(LAB_VARIABLE, lab), ...inside];
    if (rest.length === 0) return;
    await endProcesses(rest, round === 0 ? GRACE_MS : 0);
  }
}

function isProcess(target: ProcessId | null): target is ProcessId {
  return target !== null;
}

function isSupervisor({ pid }: ProcessId): boolean {
  return commandLine(pid).includes(SUPERVISOR_ENTRY);
}

/** The folder stays if another lab has files in it. */
function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not empty, or absent.
  }
}

/** Removes the record last, so that an interrupted removal can be continued. */
function removeState(lab: string): void {
  const folder = stateDir(lab);
  for (const name of readdirSync(folder).filter((name) => name !== RECORD_NAME)) {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
  rmSync(folder, { recursive: true, force: true });
}

function readRecordOrNull(lab: string) {
  try {
    return readRecord(lab);
  } catch {
    return null;
  }
}

/**
 * Arenas of the recorded nodes, and others whose names begin with the name of this lab and of no
 * longer-named lab.
 */
function arenasOf(lab: string, nodes: string[]): string[] {
  const named = nodes.map((node) => arenaOf(lab, node));
  const others = labNames().filter((other) => other.startsWith(`${lab}-`));
  const all = existsSync(ARENA_DIR) ? readdirSync(ARENA_DIR) : [];
  const alike = all
    .filter((name) => name.startsWith(`${lab}-`))
    .filter((name) => !others.some((other) => name.startsWith(`${other}-`)))
    .map((name) => join(ARENA_DIR, name));
  return [...new Set([...named, ...alike])].filter((path) => existsSync(path));
}
