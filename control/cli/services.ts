import type { Command } from 'commander';
import { askAgent } from '../admin-client.ts';
import type { ServiceDescription } from '../sync/describe.ts';
import { nodeCommand } from './options.ts';
import { formatTable, print } from './output.ts';

/** Endpoints listed in a cell; the others are counted. */
const ENDPOINTS_SHOWN_MAX = 4;

/** `kubetun services`: the compiled Service ports of a node. */
export function register(program: Command): void {
  const description =
    'show the compiled table of a node: every Service port, its frontends and endpoints';
  nodeCommand(program, 'services', description, async (lab, { node, output }) => {
    const services = await askAgent<ServiceDescription[]>(lab, node, '/services');
    print(output, services, () => formatServices(services));
  }).addHelpText(
    'after',
    `
Examples:
  scripts/kubetun services --node node1
  scripts/kubetun services --node cloud -o json`,
  );
}

/** The table of Service ports, with a line for each frontend. */
export function formatServices(services: ServiceDescription[]): string {
  const rows = services.flatMap((service) => {
    const { eligible, generation } = service;
    const frontends = service.frontends.map((f) => `${f.address} (${f.kind})`);
    const rest = [formatEndpoints(eligible), formatPolicy(service), String(generation)];
    const [first = '-', ...others] = frontends;
    return [
      [service.service, service.proto, first, ...rest],
      ...others.map((frontend) => ['', '', frontend]),
    ];
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
