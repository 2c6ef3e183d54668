// Entry of the command line.
import { CommanderError, InvalidArgumentError } from 'commander';
import { labOf } from '../control/cli/options.ts';
import { labFlag } from '../control/places.ts';
import { KubetunError } from '../datapath/error.ts';
import { COMMANDS, createProgram } from './program.ts';

const program = createProgram();
let labOption = '';
program.hook('preAction', (_, command) => {
  labOption = labFlag(labOf(command));
});

/** The command's name. A lab may have the same name. */
function commandWord(words: string[]): string | undefined {
  return words.find((word, i) => words[i - 1] !== '--lab' && Object.hasOwn(COMMANDS, word));
}

/** Commands that change something. They go on after their output pipe is closed. */
const SILENT_COMMANDS = new Set(['lab', 'agent', 'bench']);

/** A hint whose commands work on the lab of this command. */
function hintOf({ next }: KubetunError): string {
  if (next === '' || (labOption !== '' && next.includes(labOption))) return next;
  return next.replaceAll('scripts/kubetun', `scripts/kubetun${labOption}`);
}

/** A closed output pipe, as with `head`, is not a failure. */
function bearClosedPipes(named: string | undefined): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (named === undefined || !SILENT_COMMANDS.has(named)) process.exit(0);
    });
  }
}

async function main(): Promise<number> {
  try {
    const named = commandWord(process.argv.slice(2));
    bearClosedPipes(named);
    // A completion script names every command.
    const all = named === undefined || named === 'completion';
    const loads = all ? Object.values(COMMANDS) : [COMMANDS[named]!];
    for (const load of loads) (await load()).register(program);
    await program.parseAsync();
    // A command that ran a program exits with the program's code.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof InvalidArgumentError) {
      console.error(`kubetun: ${error.message}`);
      return 2;
    }
    if (error instanceof KubetunError) {
      const hint = hintOf(error);
      console.error(`kubetun: ${error.message}${hint ? `: ${hint}` : ''}`);
      return error.exitCode;
    }
    throw error;
  }
}

process.exitCode = await main();
