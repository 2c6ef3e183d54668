import type { Command } from 'commander';
import type { Plan } from '../ingress/model.ts';
import { labOf, labOption, requireNode } from './options.ts';
import { type OutputFormat, outputOption, print } from './output.ts';

interface Options {
  objects?: string[];
  output: OutputFormat;
}

/** A certificate without its key. */
type CertificateRow = Omit<Plan['certificates'][number], 'pem'>;

/** `kubetun ingress`: what the Ingress controller makes of the objects. */
export function register(program: Command): void {
  program
    .command('ingress')
    .description('show what HAProxy gets for the Ingresses of a lab, or of files')
    .command('config')
    .description('print the configuration of HAProxy, its map of routes and its certificates')
    .option(
      '--objects <path>',
      'YAML files or folders instead of a lab; may be repeated',
      (path: string, before: string[] | undefined) => [...(before ?? []), path],
    )
    .addOption(outputOption())
    .addOption(labOption())
    .addHelpText(
      'after',
      `
The compile is the one of the controller. Keys of certificates are not printed. Lines that begin
with # problem are what the controller writes as events of an Ingress: such a part is not served.
With -o json it prints the plan: routes by precedence, backends with their servers, certificates,
problems, and the Ingresses that are served.

Annotations of an Ingress that have an effect (of a Service as well, which come first):
  haproxy.org/ssl-redirect: "true"        http is redirected to https
  haproxy.org/ssl-redirect-code: "301"    302 unless given; 301, 302, 303, 307 or 308
  haproxy.org/allow-list: 10.0.0.0/8      the only clients allowed, by commas; also whitelist
  haproxy.org/cookie-persistence: NAME    a cookie keeps a client at one endpoint
  haproxy.org/timeout-server: 30s         longest silence of an endpoint
  haproxy.org/timeout-tunnel: 2h          the same after an upgrade, as of WebSocket
  haproxy.org/proxy-body-size: 8m         largest request body; it needs a Content-Length
  haproxy.org/server-proto: h2            HTTP/2 without TLS, as appProtocol kubernetes.io/h2c

Examples:
  scripts/kubetun ingress config
  scripts/kubetun ingress config --objects shop.yaml -o json
  kubectl get ingresses,ingressclasses,services,endpointslices,secrets -A -o yaml > all.yaml
  scripts/kubetun ingress config --objects all.yaml
  scripts/kubetun explain --from internet --to http://shop.example/cart    which rule matches`,
    )
    .action(showConfig);
}

async function showConfig({ objects: paths, output }: Options, command: Command): Promise<void> {
  const [{ compileIngress }, { renderHaproxy }] = await Promise.all([
    import('../ingress/compile.ts'),
    import('../ingress/config.ts'),
  ]);
  const plan = compileIngress(await readAll(paths, command));
  const shown = { ...plan, certificates: plan.certificates.map(withoutKey) };
  print(output, shown, () => {
    const { config, routes, crtList } = renderHaproxy(plan);
    return formatFiles(
      { 'haproxy.cfg': config, 'routes.map': routes, 'crt-list.txt': crtList },
      plan,
    );
  });
}

async function readAll(paths: string[] | undefined, command: Command) {
  if (paths) return (await import('../explain/objects.ts')).readObjects(paths);
  const lab = labOf(command);
  requireNode(lab, null);
  return (await import('../explain/source.ts')).objectsOfLab(lab);
}

function withoutKey({ pem: _, ...rest }: Plan['certificates'][number]): CertificateRow {
  return rest;
}

function formatFiles(files: Record<string, string>, { problems }: Plan): string {
  const texts = Object.entries(files).map(([name, text]) => `# ${name}\n${text.trimEnd()}`);
  const lines = problems.map(
    (each) => `# problem: ${each.ingress}: ${each.reason}: ${each.message}`,
  );
  return [...texts, ...(lines.length > 0 ? [lines.join('\n')] : [])].join('\n\n');
}
