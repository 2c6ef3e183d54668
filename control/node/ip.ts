// The only file of the agent that runs ip(8) and tc(8), in the network namespace of this process.
import { spawnSync } from 'node:child_process';
import { KubetunError } from '../../datapath/error.ts';

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

/** The output of `tc -batch` lines in one process. A failed line does not stop the others. */
export function tcBatch(lines: string[]): string {
  if (lines.length === 0) return '';
  return run(['-force', '-batch', '-'], `${lines.join('\n')}\n`, 'tc').stdout;
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}
