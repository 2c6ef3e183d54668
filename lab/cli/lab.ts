import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { KubetunError } from '../../datapath/error.ts';
import { requireRoot } from '../host/tools.ts';
import { bringDown } from '../life/down.ts';
import { kubeconfigPath } from '../places/paths.ts';
import { requireLab } from '../state/record.ts';
import { register as registerExec } from './exec.ts';
import { register as registerForward } from './forward.ts';
import { register as registerStatus } from './status.ts';
import { register as registerUp } from './up.ts';

/** `kubetun lab`: a cluster in network namespaces. */
export function register(program: Command): void {
  const lab = program
    .command('lab')
    .description('a cluster in network namespaces: start it, look at it, work in it, end it')
    .addHelpText(
      'after',
      `
Examples:
  scripts/kubetun lab up --nodes 3 -f web.yaml
  scripts/kubetun lab status
  scripts/kubetun lab exec web-1 -- curl -s http://10.96.0.20/hostname
  scripts/kubetun lab exec internet -- curl -s http://198.51.100.11:30080/hostname
  scripts/kubetun lab forward 8080:svc/web
  scripts/kubetun lab down`,
    );
  registerUp(lab);
  registerStatus(lab);
  registerExec(lab);
  registerForward(lab);
  registerKubeconfig(lab);
  registerDown(lab);
}

function registerKubeconfig(lab: Command): void {
  lab
    .command('kubeconfig')
    .description('print the path of the kubeconfig of a lab')
    .option('--raw', 'print the kubeconfig itself')
    .addOption(labOption())
    .addHelpText('after', '\nExample: export KUBECONFIG=$(scripts/kubetun lab kubeconfig)')
    .action((options: { raw?: boolean }, command: Command) => {
      const name = labOf(command);
      requireLab(name);
      const path = kubeconfigPath(name);
      if (!existsSync(path)) {
        const next =
          'wait until its API server listens; scripts/kubetun lab status shows the progress';
        throw new KubetunError('KT_LAB_STARTING', `lab ${name} has no kubeconfig yet`, next);
      }
      if (options.raw) process.stdout.write(readFileSync(path, 'utf8'));
      else console.log(path);
    });
}

function registerDown(lab: Command): void {
  lab
    .command('down')
    .description('end a lab and remove all its parts, also after a crash')
    .addOption(labOption())
    .action(async (_options, command: Command) => {
      const name = labOf(command);
      requireRoot();
      const found = await bringDown(name);
      console.log(found ? `lab ${name} is down` : `lab ${name} was not up`);
    });
}
