// npm run differential: sends random sequences of packets through the datapath and the kernel.
import { parseArgs } from 'node:util';
import { runDifferential } from './run.ts';

const HELP = `Sends seeded random sequences of packets through a lab of the datapath and its kernel twin, and compares what
arrives and what is tracked.

npm run differential -- [--seeds N] [--seed S] [--route R] [-o json]
  --seeds N   so many sequences (10000)
  --seed S    the first seed (1); a difference names its own
  --route R   one route in place of all
  --lab NAME  begin of the names of both labs (diff)
  --show N    examples of each class (3)
  --chances   examples also of differences that are not there when sent again
  -o json     the summary as JSON
`;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    route: { type: 'string' },
    lab: { type: 'string', default: 'diff' },
    show: { type: 'string', default: '3' },
    chances: { type: 'boolean', default: false },
    output: { type: 'string', short: 'o', default: 'text' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  const isJson = values.output === 'json';
  const summary = await runDifferential({
    lab: values.lab,
    seeds: Number(values.seeds),
    seed: Number(values.seed),
    route: values.route,
    show: Number(values.show),
    showChances: values.chances,
    tell: isJson ? () => {} : (line) => process.stdout.write(`${line}\n`),
  });
  if (isJson) process.stdout.write(`${JSON.stringify(summary)}\n`);
  return summary.differences > 0 ? 1 : 0;
}
