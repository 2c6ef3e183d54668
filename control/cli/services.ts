import type { Command } from 'commander';
import { askAgent } from '../admin-client.ts';
import type { ServiceDescription } from '../sync/describe.ts';
import { labOf, labOption, nodeOption, requireNode } from './options.ts';
import { formatTable, type OutputFormat, outputOption, print } from './output.ts';

/** Endpoints listed in a cell; the others are counted. */
const ENDPOINTS_SHOWN_MAX = 4;

/** `kubetun services`: the compiled Service ports of a node. */
export function register(program: Command): void {
  program
    .command('services')
    .description(
      'show the compiled table of a node: every Service port, its frontends and endpoints',
    )
    .addOption(nodeOption())
    .addOption(outputOption())
    .addOption(labOption())
    .addHelpText(
      'after',
      `
Examples:
  scripts/kubetun services --node node1
  scripts/kubetun services --node cloud -o json`,
    )
    .action(async (options: { node: string; output: OutputFormat }, command: Command) => {
      const lab = labOf(command);
      requireNode(lab, options.node);
      const services = await askAgent<ServiceDescription[]>(lab, options.node, '/services');
      print(options.output, services, () => formatServices(services));
    });
}

/** The table of Service ports, with a line for each frontend. */
export function formatServices(services: ServiceDescription[]): string {
  const rows = services.flatMap((service) => {
    const first = [
      service.service,
      service.proto,
      formatEndpoints(service.eligible),
      formatPolicy(service),
      String(service.generation),
    ];
    const [name, proto, ...rest] = first as [string, string, ...string[]];
    const frontends = service.frontends.map((f) => `${f.address} (${f.kind})`);
    return (frontends.length === 0 ? ['-'] : frontends).map((frontend, i) =>
      i === 0 ? [name, proto, frontend, ...rest] : ['', '', frontend, '', '', ''],
    );
  });
  const columns = ['SERVICE', 'PROTO', 'FRONTEND', 'ENDPOINTS', 'POLICY', 'GENERATION'];
  const refused = services.flatMap(({ service, refused }) =>
    refused.map((reason) => `${service}: ${reason}`),
  );
  return [formatTable(columns, rows), ...refused].join('\n');
}

function formatEndpoints(eligible: string[]): string {
  if (eligible.length === 0) return 'none: refused';
  const shown = eligible.slice(0, ENDPOINTS_SHOWN_MAX).join(',');
  const more = eligible.length - ENDPOINTS_SHOWN_MAX;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function formatPolicy(service: ServiceDescription): string {
  const words: string[] = [];
  if (service.internalPolicy === 'Local') words.push('internal-local');
  if (service.externalPolicy === 'Local') words.push('external-local');
  if (service.affinityS > 0) words.push(`affinity ${service.affinityS}s`);
  return words.join(' ') || '-';
}
