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
  /** Address, timeout and rest of it, as nft takes it. */
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

/**
 * Carries out commands as one transaction: all of them, or none. Throws KubetunError
 * KT_TOOL_MISSING, KT_NFT.
 */
export function applyNft(commands: string[]): void {
  const { status, stderr } = run(['-f', '-'], `${commands.join('\n')}\n`);
  if (status === 0) return;
  const why = stderr.trim().split('\n')[0] ?? '';
  throw new KubetunError(
    'KT_NFT',
    `nft refuses the table ${TABLE}: ${why}`,
    'is the agent root, and does this kernel have nf_tables with NAT?',
  );
}

/** Whom the table that is there remembers; empty if there is none. */
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

/** The table that is in force; null if there is none. */
export function readTable(): ObservedTable | null {
  const { status, stdout } = run(LIST);
  return status === 0 ? parseTable(stdout) : null;
}

/**
 * What commands make in a network namespace that has nothing else and goes at once, as the same
 * nft(8) and kernel show it. Null where none can be made.
 */
export function readReference(commands: string[]): ObservedTable | null {
  const list = `nft -f - && exec nft ${LIST.join(' ')}`;
  const { status, stdout } = spawnSync('unshare', ['--net', 'sh', '-c', list], {
    ...{ input: `${commands.join('\n')}\n`, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX },
  });
  return status === 0 ? parseTable(stdout) : null;
}

/**
 * Takes the table off, if there is one; connections keep their translation until the kernel forgets
 * them.
 */
export function removeTable(): void {
  // Where nft is not installed no agent has made one.
  const { stdout } = spawnSync('nft', ['list', 'tables', 'ip'], { encoding: 'utf8' });
  if (stdout?.split('\n').includes(`table ${TABLE}`)) applyNft([`delete table ${TABLE}`]);
}
