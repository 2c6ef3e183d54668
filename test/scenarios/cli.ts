// `npm run scenarios`: runs the rows of scenario files, also given ones, in memory or with real
// packets.
import { Command, CommanderError, Option } from 'commander';
import { PROXIES, type ProxyKind } from '../../control/agent-options.ts';
import { type OutputFormat, outputOption } from '../../control/cli/output.ts';
import { KubetunError } from '../../datapath/error.ts';
import { agrees, ownFiles, type Row, readScenario, type Scenario } from './row.ts';
import { walk } from './walk.ts';

interface Options {
  live?: boolean;
  proxy: ProxyKind;
  lab: string;
  output: OutputFormat;
}

/** A row and its result. `live` is null if no packets were sent. */
interface RowResult {
  file: string;
  rule: string;
  what: string;
  way: string;
  expected: string;
  walked: string[];
  live: string[] | null;
  ok: boolean;
}

interface Report {
  rows: RowResult[];
  /** Differences between drop counters and rows. */
  counters: string[];
}

const HELP = `
A file has node (whose datapath is asked), objects (Nodes, Services, EndpointSlices) and rows:
  rows:
    - my-rule | a pod reaches both | 10.244.1.9 -> 10.96.0.50:80/tcp | 10.244.1.2:8080 10.244.2.2:8080
    - my-rule | the node is masqueraded | 172.18.0.11 -> 10.96.0.50:80/tcp | 10.244.1.2:8080* 10.244.2.2:8080*
    - my-rule | nobody is there | 203.0.113.10 -> 172.18.0.11:30003/udp | reject
    - my-rule | outside its ranges | 10.244.1.9 -> 198.51.100.6:80/tcp | drop source-range
test/scenarios/row.ts says what they mean. With --live (root) a lab is made: pods of 10.244.N.0/24 at every
address that a row names, and all that is no pod and no node outside of it.

Examples:
  npm run scenarios
  npm run scenarios -- --live --proxy nftables test/scenarios/services.yaml
  npm run scenarios -- mine.yaml --live -o json`;

const program = new Command('scenarios')
  .description('check rows of scenario files; without files, those of the project')
  .argument('[files...]', 'YAML files')
  .option('--live', 'send real packets in a lab too (root)')
  .addOption(
    new Option('--proxy <name>', 'with --live: the proxy of the nodes')
      .choices(PROXIES)
      .default('kubetun'),
  )
  .addOption(new Option('--lab <name>', 'with --live: the name of the lab').default('scenarios'))
  .addOption(outputOption())
  .addHelpText('after', HELP)
  .exitOverride();

async function main(): Promise<number> {
  try {
    program.parse();
    const options = program.opts<Options>();
    const files = program.args.length > 0 ? program.args : ownFiles();
    const scenarios = files.map(readScenario);
    const report = options.live ? await runLive(scenarios, options) : runCore(scenarios);
    print(report, options);
    return report.counters.length === 0 && report.rows.every((row) => row.ok) ? 0 : 1;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof KubetunError)) throw error;
    console.error(`scenarios: ${error.message}: ${error.next}`);
    return error.exitCode;
  }
}

function runCore(scenarios: Scenario[]): Report {
  const rows = scenarios.flatMap((s) => s.rows.map((row) => compare(s, row, null)));
  return { rows, counters: [] };
}

async function runLive(scenarios: Scenario[], { proxy, lab }: Options): Promise<Report> {
  const { answerLive } = await import('./live/run.ts');
  const report: Report = { rows: [], counters: [] };
  for (const { scenario, answer } of await answerLive(lab, proxy, scenarios)) {
    const { rows, file } = scenario;
    report.rows.push(...rows.map((row, i) => compare(scenario, row, answer.seen[i]!)));
    report.counters.push(...answer.counters.map((line) => `${file}: ${line}`));
  }
  return report;
}

function compare(scenario: Scenario, row: Row, live: string[] | null): RowResult {
  const { rule, what, way, outcome } = row;
  const walked = walk(scenario, row);
  const ok = agrees(row, walked) && (live === null || agrees(row, live));
  return { file: scenario.file, rule, what, way, expected: outcome, walked, live, ok };
}

function print({ rows, counters }: Report, { output, proxy }: Options): void {
  if (output === 'json') {
    console.log(JSON.stringify({ rows, counters }, null, 2));
    return;
  }
  for (const { file, rule, what, way, expected, walked, live, ok } of rows) {
    console.log(`${ok ? 'ok  ' : 'FAIL'}  ${file}: ${rule}: ${what}: ${way}`);
    if (ok) continue;
    console.log(`      the row says  ${expected}`);
    console.log(`      virtual walk  ${walked.join(' ')}`);
    if (live) console.log(`      ${proxy.padEnd(12)}  ${live.join(' ')}`);
  }
  for (const line of counters) console.log(`FAIL  ${line}`);
  const failed = rows.filter((row) => !row.ok).length + counters.length;
  const how = rows.some((row) => row.live)
    ? `real packets on ${proxy}, virtual walk`
    : 'virtual walk';
  console.log(`${rows.length} rows (${how}): ${failed === 0 ? 'all agree' : `${failed} differ`}`);
}

process.exitCode = await main();
