import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { requireRoot } from '../host/tools.ts';
import { bringDown } from '../life/down.ts';

export function register(lab: Command): void {
  lab
    .command('down')
    .description('end a lab and remove everything of it, also after a crash')
    .addOption(labOption())
    .action(async (_options, command: Command) => {
      const name = labOf(command);
      requireRoot();
      const found = await bringDown(name);
      console.log(found ? `lab ${name} is down` : `lab ${name} was not up`);
    });
}
