// The network namespace of this process: ip(8), tc(8) and sysctls. No other file of the agent uses
// them.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';

export const SYSCTL_ROOT = '/proc/sys/net/ipv4';

export interface LinkJson {
  ifname: string;
  mtu: number;
  txqlen?: number;
  flags?: string[];
  /** The bridge that has it as a port. */
  master?: string;
  linkinfo?: { info_kind?: string };
  addr_info?: { family: string; local: string; scope: string }[];
}

export interface RouteJson {
  dst: string;
  dev?: string;
  /** Absent for the main table. */
  table?: string;
  prefsrc?: string;
  gateway?: string;
  nexthops?: { gateway?: string }[];
}

function run(
  args: string[],
  input?: string,
  program: 'ip' | 'tc' = 'ip',
): { status: number; stdout: string; stderr: string } {
  const result = spawnSync(program, args, { input, encoding: 'utf8' });
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    throw ipMissing(program);
  }
  if (result.error) throw result.error;
  return { status: result.status ?? 1, stdout: result.stdout, stderr: result.stderr };
}

export function ipMissing(program = 'ip'): KubetunError {
  const message = `${program} is not installed`;
  return new KubetunError('KT_TOOL_MISSING', message, 'apt-get install iproute2');
}

/**
 * Runs lines of `ip -batch` in one process. Throws KubetunError KT_IP with the line that failed.
 */
export function ipBatch(lines: string[]): void {
  if (lines.length === 0) return;
  const { status, stderr } = run(['-batch', '-'], `${lines.join('\n')}\n`);
  if (status === 0) return;
  const at = /Command failed -:(\d+)/.exec(stderr)?.[1];
  const line = at === undefined ? 'ip -batch' : `ip ${lines[Number(at) - 1]}`;
  throw new KubetunError(
    'KT_IP',
    `${line}: ${firstLine(stderr)}`,
    'check that the device exists, and run this as root',
  );
}

/** The JSON output of `ip -j ARGS`. Null if it fails, for example for a missing device. */
export function ipJson<T>(...args: string[]): T[] | null {
  const { status, stdout } = run(['-j', ...args]);
  if (status !== 0) return null;
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as T[]);
}

/** Devices with their addresses; `args` limit them. Empty if there are none. */
export function readLinks(...args: string[]): LinkJson[] {
  return ipJson('-d', 'addr', 'show', ...args) ?? [];
}

/** The IPv4 addresses of a device, of one scope or of all. */
export function addressesOf({ addr_info = [] }: LinkJson, scope?: string): string[] {
  const found = addr_info.filter((a) => a.family === 'inet' && a.scope === (scope ?? a.scope));
  return found.map(({ local }) => local);
}

export function hasLink(name: string): boolean {
  return ipJson('link', 'show', 'dev', name) !== null;
}

/** IPv4 routes; `args` limit them. Empty if there are none. */
export function readRoutes(...args: string[]): RouteJson[] {
  return ipJson('-4', 'route', 'show', ...args) ?? [];
}

/** The value of net.ipv4.`path`, its words one space apart. Null if it cannot be read. */
export function readSysctl(path: string): string | null {
  try {
    return readFileSync(`${SYSCTL_ROOT}/${path}`, 'utf8').trim().split(/\s+/).join(' ');
  } catch {
    return null;
  }
}

/**
 * Sets net.ipv4.`path`, if it differs: /proc/sys may be read-only. Throws KubetunError KT_SYSCTL.
 */
export function writeSysctl(path: string, value: string): void {
  if (readSysctl(path) === value) return;
  try {
    writeFileSync(`${SYSCTL_ROOT}/${path}`, value);
  } catch (error) {
    throw new KubetunError(
      'KT_SYSCTL',
      `net.ipv4.${path.replaceAll('/', '.')} cannot be set to ${value}`,
      'set it by sysctl(8), or run as root where /proc/sys is writable',
      { cause: error },
    );
  }
}

/** The output of `tc -batch` lines in one process. A failed line does not stop the others. */
export function tcBatch(lines: string[]): string {
  if (lines.length === 0) return '';
  return run(['-force', '-batch', '-'], `${lines.join('\n')}\n`, 'tc').stdout;
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}
