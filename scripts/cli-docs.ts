// Prints docs/cli.md: every command with its options and examples, from the command line itself.
import type { Command } from 'commander';
import { COMMANDS, createProgram } from './program.ts';

const WIDTH = 100;

/** Sections of a command and of those below it, in the order of `--help`. */
function* sections(command: Command, path: string, depth: number): Generator<string> {
  // Whoever reads a file has no terminal whose width would count.
  command.configureHelp({ helpWidth: WIDTH });
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => WIDTH });
  command.outputHelp();
  yield `${'#'.repeat(depth)} ${path}\n\n\`\`\`\n${help.trimEnd()}\n\`\`\`\n`;
  for (const child of command.commands)
    yield* sections(child, `${path} ${child.name()}`, depth + 1);
}

/** The whole page. */
export async function cliPage(): Promise<string> {
  delete process.env.KUBETUN_LAB;
  const program = createProgram();
  for (const load of Object.values(COMMANDS)) (await load()).register(program);
  const head = 'Written by `npm run cli-docs`; a test holds it against the command line.\n';
  return [head, ...sections(program, 'kubetun', 1)].join('\n');
}

if (import.meta.main) process.stdout.write(await cliPage());
