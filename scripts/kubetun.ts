// The command line's composition root: the one place that sees every layer.
import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { KubetunError } from '../datapath/error.ts';

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string };

const program = new Command('kubetun')
  .version(version)
  .description('A Kubernetes service network that one can see through.')
  .option('--lab <name>', 'the lab to work on', process.env.KUBETUN_LAB ?? 'lab')
  .enablePositionalOptions()
  .showSuggestionAfterError()
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();

/** Each entry registers its own commands on the program; loaded only when that command is asked for. */
const COMMANDS: Record<string, () => Promise<{ register(program: Command): void }>> = {
  lab: () => import('../lab/cli/lab.ts'),
  agent: () => import('../control/cli/agent.ts'),
  services: () => import('../control/cli/services.ts'),
  explain: () => import('../control/cli/explain.ts'),
  trace: () => import('../control/cli/trace.ts'),
  conntrack: () => import('../control/cli/conntrack.ts'),
  bench: () => import('../test/bench/cli.ts'),
  completion: () => import('../control/cli/completion.ts'),
};

/** The command that is meant; a lab may be called like one. */
function commandWord(words: string[]): string | undefined {
  return words.find((word, i) => words[i - 1] !== '--lab' && Object.hasOwn(COMMANDS, word));
}

async function main(): Promise<number> {
  try {
    const named = commandWord(process.argv.slice(2));
    // A completion script names every command.
    const all = named === undefined || named === 'completion';
    const loads = all ? Object.values(COMMANDS) : [COMMANDS[named]!];
    for (const load of loads) (await load()).register(program);
    await program.parseAsync();
    // A command that ran another one ends as that did.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof InvalidArgumentError) {
      console.error(`kubetun: ${error.message}`);
      return 2;
    }
    if (error instanceof KubetunError) {
      console.error(`kubetun: ${error.message}${error.next ? `: ${error.next}` : ''}`);
      return error.exitCode;
    }
    throw error;
  }
}

process.exitCode = await main();
