// The one place of the agent that runs nft(8), in the network namespace of this process.
import { spawnSync } from 'node:child_process';
import { KubetunError } from '../../datapath/error.ts';
import { type ObservedTable, parseTable } from './observed.ts';
import { TABLE } from './ruleset.ts';

const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

interface SetJson {
  name: string;
  elem?: { elem: { val: string; timeout: number; expires: number } }[];
}

/** A client of an endpoint with session affinity. */
export interface RememberedClient {
  set: string;
  /** Address, timeout and remaining time, in nft syntax. */
  element: string;
}

function run(args: string[], input?: string) {
  const result = spawnSync('nft', args, { input, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX });
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    throw new KubetunError('KT_TOOL_MISSING', 'nft is not installed', 'apt-get install nftables');
  }
  if (result.error) throw result.error;
  return result;
}

/** Throws KubetunError KT_TOOL_MISSING. */
export function requireNft(): void {
  run(['--version']);
}

/** Runs commands as one transaction. Throws KubetunError KT_TOOL_MISSING, KT_NFT. */
export function applyNft(commands: string[]): void {
  const { status, stderr } = run(['-f', '-'], `${commands.join('\n')}\n`);
  if (status === 0) return;
  const why = stderr.trim().split('\n')[0] ?? '';
  throw new KubetunError(
    'KT_NFT',
    `nft refuses the table ${TABLE}: ${why}`,
    'run the agent as root, on a kernel with nf_tables and NAT',
  );
}

/** Clients that the present table remembers for session affinity. Empty without a table. */
export function readClients(): RememberedClient[] {
  const { status, stdout } = run(['-j', 'list', 'sets', 'table', ...TABLE.split(' ')]);
  if (status !== 0) return [];
  const { nftables } = JSON.parse(stdout) as { nftables: { set?: SetJson }[] };
  return nftables.flatMap(({ set }) => {
    if (!set?.name.startsWith('clients/')) return [];
    return (set.elem ?? []).map(({ elem: { val, timeout, expires } }) => ({
      set: set.name,
      element: `${val} timeout ${timeout}s expires ${Math.max(expires, 1)}s`,
    }));
  });
}

const LIST = ['-j', 'list', 'table', ...TABLE.split(' ')];

/** The present table. Null without one. */
export function readTable(): ObservedTable | null {
  const { status, stdout } = run(LIST);
  return status === 0 ? parseTable(stdout) : null;
}

/**
 * The table that commands make, as this nft(8) and kernel list it. Runs them in a temporary network
 * namespace. Null if that cannot be made.
 */
export function readReference(commands: string[]): ObservedTable | null {
  const list = `nft -f - && exec nft ${LIST.join(' ')}`;
  const { status, stdout } = spawnSync('unshare', ['--net', 'sh', '-c', list], {
    ...{ input: `${commands.join('\n')}\n`, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX },
  });
  return status === 0 ? parseTable(stdout) : null;
}

/** Removes the table if it exists. Existing connections keep their translation in conntrack. */
export function removeTable(): void {
  // Without nft no agent has made a table.
  const { stdout } = spawnSync('nft', ['list', 'tables', 'ip'], { encoding: 'utf8' });
  if (stdout?.split('\n').includes(`table ${TABLE}`)) applyNft([`delete table ${TABLE}`]);
}
