import { connect, createServer, type Server } from 'node:net';
import type { Command } from 'commander';
import { labOf, labOption } from '../../control/cli/options.ts';
import { connectLab } from '../../control/kube/client.ts';
import { KubetunError } from '../../datapath/error.ts';
import { enterNamespace } from '../../datapath/io/netns.ts';
import { requireRoot } from '../host/tools.ts';
import { type Dial, resolveDial } from '../life/dial.ts';
import { namespaceOf, namespacePath } from '../places/names.ts';
import { requireLab } from '../state/record.ts';

const LOOPBACK = '127.0.0.1';

export function register(lab: Command): void {
  lab
    .command('forward')
    .description('bring a TCP port of a lab to loopback of this machine')
    .argument('<port:target>', 'PORT:svc/NAME[.NS][:PORT], PORT:[NS/]POD:PORT or PORT:ADDR:PORT')
    .addOption(labOption())
    .addHelpText(
      'after',
      `
Examples:
  scripts/kubetun lab forward 8080:svc/web
  scripts/kubetun lab forward 8080:web-1:80
  scripts/kubetun lab forward 0:172.18.0.11:30080      # 0: any free port`,
    )
    .action(async (argument: string, _options, command: Command) => {
      const name = labOf(command);
      const record = requireLab(name);
      requireRoot();
      const { port, target } = splitArgument(argument);
      const kube = connectLab(name);
      const dial = await resolveDial(record, kube, target).finally(() => kube.close());
      await forward(port, dial, namespacePath(namespaceOf(name, dial.node)));
    });
}

function splitArgument(argument: string): { port: number; target: string } {
  const [, text, target] = /^(\d+):(.+)$/.exec(argument) ?? [];
  const port = Number(text);
  if (target === undefined || port > 65_535) {
    throw new KubetunError(
      'KT_TARGET',
      `${argument} is not of the form PORT:TARGET`,
      'give PORT:TARGET, for example 8080:svc/web',
      { usage: true },
    );
  }
  return { port, target };
}

/** Serves until SIGINT or SIGTERM. */
async function forward(port: number, dial: Dial, namespace: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const remote = connect({ host: dial.address, port: dial.port, allowHalfOpen: true });
    // An error on one side ends the other side. A side that has only finished sending leaves the
    // other open.
    client.on('error', () => remote.destroy());
    remote.on('error', (error) => {
      console.error(`kubetun: ${dial.address}:${dial.port}: ${error.message}`);
      client.resetAndDestroy();
    });
    client.pipe(remote).pipe(client);
  });
  const bound = await listen(server, port);
  // The listener stays in the namespace where it was made. Sockets that are made from now on are in
  // the lab.
  enterNamespace(namespace);
  console.log(`http://${LOOPBACK}:${bound} -> ${dial.address}:${dial.port}    (Ctrl-C ends it)`);
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve());
  });
  server.close();
  process.exit(0);
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new KubetunError(
          'KT_FORWARD_PORT',
          `cannot listen on ${LOOPBACK}:${port} (${error.code})`,
          'choose another port, or 0 for any free one',
          { cause: error },
        ),
      );
    });
    server.listen(port, LOOPBACK, () => resolve((server.address() as { port: number }).port));
  });
}
