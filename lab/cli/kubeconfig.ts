import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { KubetunError } from '../../datapath/error.ts';
import { kubeconfigPath } from '../places/paths.ts';
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
      if (!existsSync(path)) {
        const next =
          'wait until its API server listens; scripts/kubetun lab status shows how far it is';
        throw new KubetunError('KT_LAB_STARTING', `lab ${name} has no kubeconfig yet`, next);
      }
      if (options.raw) process.stdout.write(readFileSync(path, 'utf8'));
      else console.log(path);
    });
}
