// The whole command line. Only this file imports every layer.
import { readFileSync } from 'node:fs';
import { Command } from 'commander';

/** Each entry registers its commands. It is loaded only when its command is used. */
export const COMMANDS: Record<string, () => Promise<{ register(program: Command): void }>> = {
  lab: () => import('../lab/cli/lab.ts'),
  agent: () => import('../control/cli/agent.ts'),
  services: () => import('../control/cli/services.ts'),
  explain: () => import('../control/cli/explain.ts'),
  trace: () => import('../control/cli/trace.ts'),
  conntrack: () => import('../control/cli/conntrack.ts'),
  policy: () => import('../control/cli/policy.ts'),
  ingress: () => import('../control/cli/ingress.ts'),
  bench: () => import('../test/bench/cli.ts'),
  completion: () => import('../control/cli/completion.ts'),
};

/** The program without its commands. */
export function createProgram(): Command {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return new Command('kubetun')
    .version(version)
    .description('A Kubernetes service network that you can read.')
    .option('--lab <name>', 'the lab to work on', process.env.KUBETUN_LAB ?? 'lab')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(see --help)')
    .exitOverride();
}
