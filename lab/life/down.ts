// Taking a lab away: its processes, pods, namespaces and files, in that order, also after a crash of any of them.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { arenaOf, CLOUD, stateDir } from '../../control/cli/options.ts';
import { ipBatch } from '../host/ip.ts';
import { namespaceLink, namespacesOfLab } from '../host/namespaces.ts';
import { endProcesses, type ProcessId, processesInNamespaces } from '../host/process.ts';
import { removeAllPods } from '../pods/cleanup.ts';
import { lockLab } from '../state/lock.ts';
import { holdsLab, RECORD_NAME } from '../state/paths.ts';
import { readRecord } from '../state/record.ts';
import { readAgent } from '../supervisor/agents.ts';

const GRACE_MS = 5000;
const MAKER_GRACE_MS = 20_000;
const LOCK_MS_MAX = 30_000;
const ARENA_DIR = '/dev/shm';

/**
 * Ends whoever is making a lab, then removes all of it, and says whether there was anything. Throws KubetunError
 * KT_LAB_BUSY while another command ends it.
 */
export async function bringDown(lab: string): Promise<boolean> {
  const maker = readRecordOrNull(lab)?.maker;
  // It takes back what it has made by itself.
  if (maker) await endProcesses([maker], MAKER_GRACE_MS);
  const lock = await lockLab(lab, LOCK_MS_MAX);
  try {
    return await takeDown(lab);
  } finally {
    lock.release();
  }
}

/** Removes all of a lab, for whoever holds its lock, and says whether there was anything. Safe to repeat. */
export async function takeDown(lab: string): Promise<boolean> {
  const record = readRecordOrNull(lab);
  const namespaces = namespacesOfLab(lab);
  const nodes = [...(record?.topology.nodes.map((node) => node.name) ?? []), CLOUD];
  const arenas = arenasOf(lab, nodes);
  const found = holdsLab(lab) || namespaces.length > 0 || arenas.length > 0;
  if (!found) return false;
  // First the one that would start the others again.
  if (record?.supervisor) await endProcesses([record.supervisor], GRACE_MS);
  const agents = nodes.map((node) => readAgent(lab, node));
  await endProcesses(
    agents.filter((agent): agent is ProcessId => agent !== null),
    GRACE_MS,
  );
  await removeAllPods(stateDir(lab));
  const rest = namespacesOfLab(lab);
  const inside = processesInNamespaces(new Set(rest.map(namespaceLink)));
  await endProcesses(inside, GRACE_MS);
  await ipBatch(
    null,
    rest.map((name) => `netns del ${name}`),
    { force: true },
  );
  for (const arena of arenas) rmSync(arena, { force: true });
  if (holdsLab(lab)) removeState(lab);
  return true;
}

/** The record goes last, so that half of a removal is seen as what it is. */
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

/** Arenas of the cloud and of the nodes that the record names; without a record, of those whose names can be this lab's alone. */
function arenasOf(lab: string, nodes: string[]): string[] {
  const named = nodes.map((node) => arenaOf(lab, node));
  const prefix = `kubetun-${lab}-`;
  const numbered = readdirSync(ARENA_DIR)
    .filter((name) => name.startsWith(prefix) && /^node\d+$/.test(name.slice(prefix.length)))
    .map((name) => `${ARENA_DIR}/${name}`);
  return [...new Set([...named, ...numbered])].filter((path) => existsSync(path));
}
