import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { requireRoot } from '../host/tools.ts';
import { takeDown } from '../life/down.ts';
import { requireLabName } from '../state/names.ts';

export function register(lab: Command): void {
  lab
    .command('down')
    .description('end a lab and remove everything of it, also after a crash')
    .addOption(labOption())
    .action(async (_options, command: Command) => {
      const name = labOf(command);
      requireLabName(name);
      requireRoot();
      const found = await takeDown(name);
      console.log(found ? `lab ${name} is down` : `lab ${name} was not up`);
    });
}
