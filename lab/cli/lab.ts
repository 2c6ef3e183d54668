import type { Command } from 'commander';
import { register as registerDown } from './down.ts';
import { register as registerExec } from './exec.ts';
import { register as registerForward } from './forward.ts';
import { register as registerKubeconfig } from './kubeconfig.ts';
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
