// Runs ip(8) and tc(8). No other file of the lab does.
import { spawn } from 'node:child_process';
import { KubetunError } from '../../datapath/error.ts';

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

function run(program: 'ip' | 'tc', args: string[], input: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe' });
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk;
      });
    }
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? isMissing(program) : error);
    });
    child.on('close', (code) => resolve({ status: code ?? 1, ...text }));
    // The process may have ended before its input is written.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

function isMissing(program: string): KubetunError {
  const message = `${program} is not installed`;
  return new KubetunError('KT_TOOL_MISSING', message, 'apt-get install iproute2');
}

/**
 * Runs lines of `ip -batch` in one process, inside a network namespace, or with null in the root
 * namespace. With `force` a failing line stops no other line and is no error. Throws KubetunError
 * KT_IP with the line that failed.
 */
export async function ipBatch(
  namespace: string | null,
  lines: string[],
  options: { force?: boolean } = {},
): Promise<void> {
  if (lines.length === 0) return;
  const where = namespace === null ? [] : ['-n', namespace];
  const force = options.force ? ['-force'] : [];
  const { status, stderr } = await run(
    'ip',
    [...where, ...force, '-batch', '-'],
    `${lines.join('\n')}\n`,
  );
  if (status === 0 || options.force) return;
  const at = /Command failed -:(\d+)/.exec(stderr)?.[1];
  const line = at === undefined ? '-batch' : lines[Number(at) - 1];
  throw new KubetunError(
    'KT_IP',
    `ip ${where.join(' ')}${where.length > 0 ? ' ' : ''}${line}: ${stderr.trim().split('\n')[0]}`,
    '`lab up --plan` prints this command among the others of the lab',
  );
}

/**
 * The JSON of each line of `ip -4 -j -batch` inside a namespace, from one process. Null if it
 * fails.
 */
export async function ipJsonBatch(namespace: string, lines: string[]): Promise<unknown[][] | null> {
  const args = ['-n', namespace, '-4', '-j', '-batch', '-'];
  const { status, stdout } = await run('ip', args, `${lines.join('\n')}\n`);
  const answers = stdout.trim().split('\n');
  if (status !== 0 || answers.length !== lines.length) return null;
  return answers.map((text) => JSON.parse(text) as unknown[]);
}

/** Runs lines of `tc -batch` inside a network namespace. Throws KubetunError KT_TC. */
export async function tcBatch(namespace: string, lines: string[]): Promise<void> {
  const { status, stderr } = await run('tc', ['-n', namespace, '-batch', '-'], lines.join('\n'));
  if (status === 0) return;
  throw new KubetunError(
    'KT_TC',
    `tc -n ${namespace}: ${stderr.trim().split('\n')[0]}`,
    'the kernel needs sch_ingress, cls_u32 and act_mirred: modprobe them',
  );
}
