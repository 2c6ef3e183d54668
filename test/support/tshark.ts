import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

/**
 * Captured packets for checksum tests: all but probes of agents, whose sum the kernel leaves to the
 * device.
 */
export const SUMMED = '(tcp or udp or icmp) and not (udp dst port 9 and udp[4:2] = 16)';

const WRONG = ['ip', 'tcp', 'udp', 'icmp'].map((p) => `${p}.checksum.status == 0`).join(' || ');

/** The number of packets in a capture, and those with a wrong checksum as lines of tshark. */
export function wrongSums(file: string): { all: number; bad: string[] } {
  return { all: tshark(file, '').length, bad: tshark(file, WRONG) };
}

/** tshark's lines for packets that match a display filter, with every checksum verified. */
function tshark(file: string, filter: string): string[] {
  const checks = ['ip', 'tcp', 'udp'].flatMap((p) => ['-o', `${p}.check_checksum:TRUE`]);
  const args = ['-n', '-r', file, ...checks, ...(filter ? ['-Y', filter] : [])];
  const { status, stdout, stderr } = spawnSync('tshark', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter((line) => line !== '');
}
