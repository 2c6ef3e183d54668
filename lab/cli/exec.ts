import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { KubetunError } from '../../datapath/error.ts';
import { requireRoot } from '../host/tools.ts';
import { commandIn, type Place, resolvePlace } from '../life/target.ts';
import { environmentOf } from '../pods/action/exec.ts';
import { requireLab } from '../state/record.ts';

export function register(lab: Command): void {
  lab
    .command('exec')
    .description('run a command in a pod, a node, the cloud or the internet of a lab')
    .argument('<target>', '[NS/]POD, node/NAME, cloud or internet')
    .argument('<command...>', 'what to run; write -- before it')
    .option('-c, --container <name>', 'which container of a pod (default: the first)')
    .addOption(labOption())
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Examples:
  scripts/kubetun lab exec client -- curl -s http://10.96.0.20/hostname
  scripts/kubetun lab exec node/node1 -- tcpdump -ni kt0 -c 10
  scripts/kubetun lab exec internet -- bash`,
    )
    .action(async (target: string, words: string[], options, command: Command) => {
      const record = requireLab(labOf(command));
      requireRoot();
      // Words after the target are passed through, including the leading dashes.
      const own = words[0] === '--' ? words.slice(1) : words;
      if (own.length === 0) command.error("error: missing required argument 'command'");
      const place = resolvePlace(record, target, options.container);
      process.exitCode = await runIn(commandIn(place, own), own[0] ?? '', environmentIn(place));
    });
}

/** The container's environment in a pod, as with kubectl exec. Elsewhere the caller's. */
function environmentIn(place: Place): NodeJS.ProcessEnv {
  if (!('pid' in place)) return process.env;
  const { TERM } = process.env;
  return { ...(TERM && { TERM }), ...environmentOf(place) };
}

/**
 * Runs a command on this terminal and returns its exit code. A signal gives 128 plus its number, as
 * in a shell.
 */
function runIn([file, ...args]: string[], name: string, env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file!, args, { stdio: 'inherit', env });
    // The terminal sends these signals to the child too. The child decides whether to end.
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => {});
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => child.kill(signal));
    }
    child.once('error', (error) => {
      reject(
        new KubetunError('KT_EXEC', `cannot run ${name} (${error.message})`, '', {
          cause: error,
        }),
      );
    });
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)),
    );
  });
}
