// What a running HAProxy says of itself.
import { type Desired, SKELETON_VARIABLE } from './desired.ts';
import type { Running, RunningServer } from './difference.ts';
import type { HaproxySockets } from './haproxy.ts';

/** Bit of srv_admin_state: put into maintenance by a command. */
const FORCED_MAINTENANCE = 1;
/** Options of a server that no file names. No desired server has them. */
const UNKNOWN = '?';

/**
 * Reads skeleton, servers and maps. HAProxy does not print the options of servers and the keys of
 * certificates: those are as in `files`, the configuration that it was given last.
 *
 * @param pathOf the path of a file, as the configuration names it.
 */
export async function readRunning(
  sockets: HaproxySockets,
  files: Desired,
  pathOf: (name: string) => string,
): Promise<Running> {
  const env = await sockets.ask(`show env ${SKELETON_VARIABLE}`);
  const maps = new Map<string, string>();
  for (const name of files.maps.keys()) {
    maps.set(name, readMap(await sockets.ask(`show map ${pathOf(name)}`), files.maps.get(name)!));
  }
  return {
    skeleton: env.split('=')[1]?.trim() ?? '',
    servers: readServers(await sockets.ask('show servers state'), files),
    maps,
    certificates: files.certificates,
    listed: files.listed,
  };
}

/** Lines `POINTER KEY VALUE`. Returns `known` if it says the same. */
function readMap(answer: string, known: string): string {
  const lines = answer.split('\n').map((line) => line.replace(/^0x\w+ /, '').trim());
  const isSame = normal(known).join('\n') === lines.filter(Boolean).join('\n');
  return isSame ? known : lines.join('\n');
}

function normal(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim().replace(/^(\S+)\s+/, '$1 '));
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** Columns: be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state ... srv_port. */
export function readServers(answer: string, files: Desired): Running['servers'] {
  const found: Running['servers'] = new Map();
  for (const backend of files.servers.keys()) found.set(backend, new Map());
  for (const line of answer.split('\n')) {
    const columns = line.split(' ');
    if (columns.length < 19 || line.startsWith('#')) continue;
    const [, backend = '', , name = '', address = '', , admin = ''] = columns;
    if (files.fixed.has(`${backend}/${name}`)) continue;
    const place = `${address}:${columns[18]}`;
    const spec = files.servers.get(backend)?.get(name);
    const server: RunningServer = {
      spec: spec?.split(' ')[0] === place ? spec : `${place} ${UNKNOWN}`,
      isLeaving: (Number(admin) & FORCED_MAINTENANCE) !== 0,
    };
    const servers = found.get(backend) ?? new Map<string, RunningServer>();
    found.set(backend, servers.set(name, server));
  }
  return found;
}
