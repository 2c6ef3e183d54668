import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

/**
 * What tcpdump takes down to check sums: all but the probes of agents. A socket of the node makes
 * those, and its kernel leaves the sum to the device.
 */
export const SUMMED = '(tcp or udp or icmp) and not (udp dst port 9 and udp[4:2] = 16)';

const WRONG = ['ip', 'tcp', 'udp', 'icmp'].map((p) => `${p}.checksum.status == 0`).join(' || ');

/** How many packets a capture holds, and those with a wrong checksum, as lines of tshark. */
export function wrongSums(file: string): { all: number; bad: string[] } {
  return { all: tshark(file, '').length, bad: tshark(file, WRONG) };
}

/**
 * Lines that tshark prints for packets that match a display filter, with every checksum verified.
 */
function tshark(file: string, filter: string): string[] {
  const checks = ['ip', 'tcp', 'udp'].flatMap((p) => ['-o', `${p}.check_checksum:TRUE`]);
  const args = ['-n', '-r', file, ...checks, ...(filter ? ['-Y', filter] : [])];
  const { status, stdout, stderr } = spawnSync('tshark', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter((line) => line !== '');
}
