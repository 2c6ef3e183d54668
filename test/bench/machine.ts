// The machine of the measurement.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';

export interface Machine {
  cpu: string;
  cores: number;
  kernel: string;
  /** Program -> its version. Leaves out missing programs. */
  versions: Record<string, string>;
}

const PROGRAMS: [name: string, args: string[]][] = [
  ['iperf3', ['--version']],
  ['iptables-legacy', ['--version']],
  ['nft', ['--version']],
  ['haproxy', ['-v']],
  ['socat', ['-V']],
];

export function describeMachine(): Machine {
  const versions: Record<string, string> = { node: process.version };
  for (const [name, args] of PROGRAMS) {
    const { stdout } = spawnSync(name, args, { encoding: 'utf8' });
    const version = /\d+\.\d+[\w.+~-]*/.exec(stdout ?? '')?.[0];
    if (version) versions[name] = version;
  }
  return { cpu: cpuModel(), cores: cpus().length, kernel: release(), versions };
}

function cpuModel(): string {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  return /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? 'unknown CPU';
}
