import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { kubeconfigPath } from '../state/paths.ts';
import { requireLab } from '../state/record.ts';

export function register(lab: Command): void {
  lab
    .command('kubeconfig')
    .description('print where the kubeconfig of a lab is')
    .option('--raw', 'print the kubeconfig itself')
    .addOption(labOption())
    .addHelpText('after', '\nExample: export KUBECONFIG=$(scripts/kubetun lab kubeconfig)')
    .action((options: { raw?: boolean }, command: Command) => {
      const name = labOf(command);
      requireLab(name);
      const path = kubeconfigPath(name);
      if (options.raw) process.stdout.write(readFileSync(path, 'utf8'));
      else console.log(path);
    });
}
