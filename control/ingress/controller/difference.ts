// What HAProxy has to do to run a desired configuration. Pure.
import type { Desired, Servers } from './desired.ts';

/** What an HAProxy runs. */
export interface Running {
  skeleton: string;
  servers: Map<string, Map<string, RunningServer>>;
  maps: Map<string, string>;
  certificates: Map<string, string>;
  listed: Map<string, string[]>;
}

export interface RunningServer {
  /** Its address and options. */
  spec: string;
  /** It takes no new connections and is deleted when its last one ends. */
  isLeaving: boolean;
}

export type Change =
  | { kind: 'add-server' | 'bring-server' | 'leave-server'; server: string; spec: string }
  | { kind: 'map'; name: string; text: string }
  | { kind: 'new-certificate' | 'set-certificate'; name: string; text: string }
  | { kind: 'delete-certificate'; name: string }
  /** `lines` replace all lines of a path in the list of certificates; none remove it. */
  | { kind: 'list-certificate'; path: string; lines: string[] };

export interface Difference {
  /** In their order: what a route needs exists before the route, and goes after it. */
  changes: Change[];
  /** Why the changes are not enough. Null if they are. */
  reload: string | null;
}

/** A command's payload fits into one buffer of HAProxy (tune.bufsize, 16 KiB by default). */
export const PAYLOAD_BYTES_MAX = 12_000;

export function differenceOf(desired: Desired, running: Running): Difference {
  const servers = serverChanges(desired.servers, running.servers);
  if (desired.skeleton !== running.skeleton) {
    return { changes: servers.changes, reload: 'the configuration has changed' };
  }
  if (servers.reload !== null) return servers;
  const [come, go] = certificateChanges(desired, running);
  const changes: Change[] = [
    ...servers.changes.filter(({ kind }) => kind !== 'leave-server'),
    ...come,
    ...mapChanges(desired.maps, running.maps),
    ...servers.changes.filter(({ kind }) => kind === 'leave-server'),
    ...go,
  ];
  return { changes, reload: whyReload(desired, running, come) };
}

function whyReload(desired: Desired, running: Running, come: Change[]): string | null {
  // HAProxy gives the first certificate of the list to clients without SNI.
  const first = (listed: Map<string, string[]>) => listed.keys().next().value;
  if (first(desired.listed) !== first(running.listed)) return 'another certificate is the default';
  const isLarge = (change: Change) => 'text' in change && change.text.length > PAYLOAD_BYTES_MAX;
  return come.some(isLarge) ? 'a certificate is too large for a command' : null;
}

/** Changes of backends that exist on both sides. They are right before a reload, too. */
function serverChanges(desired: Map<string, Servers>, running: Running['servers']): Difference {
  const changes: Change[] = [];
  let reload: string | null = null;
  for (const [backend, wanted] of desired) {
    const found = running.get(backend);
    if (!found) continue;
    for (const [name, spec] of wanted) {
      const server = `${backend}/${name}`;
      const known = found.get(name);
      if (!known) changes.push({ kind: 'add-server', server, spec });
      else if (known.spec !== spec) reload = `server ${server} has other options`;
      else if (known.isLeaving) changes.push({ kind: 'bring-server', server, spec });
    }
    for (const [name, { spec, isLeaving }] of found) {
      if (wanted.has(name) || isLeaving) continue;
      changes.push({ kind: 'leave-server', server: `${backend}/${name}`, spec });
    }
  }
  return { changes, reload };
}

function mapChanges(desired: Map<string, string>, running: Map<string, string>): Change[] {
  return [...desired]
    .filter(([name, text]) => running.get(name) !== text)
    .map(([name, text]) => ({ kind: 'map', name, text }));
}

/** Those before the routes change, and those after it. */
function certificateChanges(desired: Desired, running: Running): [Change[], Change[]] {
  const come: Change[] = [];
  const go: Change[] = [];
  for (const [name, text] of desired.certificates) {
    const known = running.certificates.get(name);
    if (known === undefined) come.push({ kind: 'new-certificate', name, text });
    else if (known !== text) come.push({ kind: 'set-certificate', name, text });
  }
  for (const [path, lines] of desired.listed) {
    if (isSame(lines, running.listed.get(path))) continue;
    come.push({ kind: 'list-certificate', path, lines });
  }
  for (const path of running.listed.keys()) {
    if (!desired.listed.has(path)) go.push({ kind: 'list-certificate', path, lines: [] });
  }
  for (const name of running.certificates.keys()) {
    if (!desired.certificates.has(name)) go.push({ kind: 'delete-certificate', name });
  }
  return [come, go];
}

function isSame(a: string[], b: string[] | undefined): boolean {
  return a.length === b?.length && a.every((line, i) => line === b[i]);
}

/** What HAProxy runs after it has loaded the files of a desired configuration. */
export function runningOf({ skeleton, servers, maps, certificates, listed }: Desired): Running {
  const fresh = (of: Servers) =>
    new Map([...of].map(([name, spec]) => [name, { spec, isLeaving: false }]));
  return {
    ...{ skeleton, maps, certificates, listed },
    servers: new Map([...servers].map(([backend, of]) => [backend, fresh(of)])),
  };
}
