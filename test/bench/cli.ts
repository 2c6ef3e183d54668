import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Argument, type Command, Option } from 'commander';
import { wholeNumber } from '../../control/cli/options.ts';
import { type OutputFormat, outputOption } from '../../control/cli/output.ts';
import { KubetunError } from '../../datapath/error.ts';
import { ALL } from './all.ts';
import { drawChart } from './chart.ts';
import { readReports, withTable, writePages } from './pages.ts';
import { formatReport, writeReport } from './report.ts';
import { SUITES, type Suite } from './suites.ts';

interface Options {
  rounds: number;
  seconds: number;
  services?: number;
  pairs?: number;
  ingresses?: number;
  churn?: number;
  out: string;
  chart?: string;
  output: OutputFormat;
}

interface AllOptions {
  /** Undefined: each benchmark uses its own default. */
  rounds?: number;
  seconds: number;
  out: string;
}

const ROUNDS = wholeNumber(1, 1000, 'It must be 1 to 1000.');

/** Two concurrent benchmarks would disturb each other. */
const BENCH_LAB = 'ktbench';

/** Without these nothing can be measured in namespaces. */
const TOOLS: Record<string, string> = { ip: 'iproute2', iperf3: 'iperf3' };

/** `kubetun bench`: measurements that anyone can repeat. */
export function register(program: Command): void {
  const bench = program
    .command('bench')
    .description('measure the datapath on this machine, which should be quiet')
    .addHelpText(
      'after',
      `
Examples:
  scripts/kubetun bench core
  scripts/kubetun bench throughput --rounds 9 --chart docs/bench/throughput.svg
  scripts/kubetun bench all --out docs/bench
  scripts/kubetun bench report --out docs/bench --readme README.md`,
    );
  for (const [name, suite] of Object.entries(SUITES)) {
    const command = bench
      .command(name)
      .description(suite.about)
      .addOption(roundsOption().default(suite.rounds))
      .addOption(secondsOption())
      .addOption(outOption())
      .option('--chart <file>', 'draw an SVG as well')
      .addOption(outputOption())
      .action((options: Options) => measure(suite, options));
    if (name === 'dns') addDnsOptions(command);
    if (name === 'ingress') addIngressOptions(command);
  }
  bench
    .command('all')
    .description('all of them, one after the other, as a web page and as Markdown with charts')
    .addArgument(new Argument('[benchmark...]', 'only these').choices(ALL))
    .addOption(new Option('--rounds <n>', 'rounds at most').argParser(ROUNDS))
    .addOption(secondsOption(1))
    .addOption(outOption())
    .action(measureAll);
  bench
    .command('report')
    .description('write the pages of figures that were measured before')
    .addOption(outOption())
    .option('--readme <file>', 'also replace the table of throughput in this file')
    .action(report);
}

const count = (max: number) => wholeNumber(1, max, `It must be 1 to ${max}.`);

function addIngressOptions(command: Command): void {
  command
    .option('--ingresses <n>', 'Ingresses of the cluster (default: 1000)', count(10_000))
    .option('--churn <n>', 'seconds of requests while objects change (default: 60)', count(3600));
}

function addDnsOptions(command: Command): void {
  command
    .option('--services <n>', 'Services of the cluster (default: 10000)', count(60_000))
    .option(
      '--pairs <n>',
      'pairs of A and AAAA on each proxy (default: 100000)',
      count(10_000_000),
    );
}

function roundsOption(): Option {
  return new Option('--rounds <n>', 'rounds, all datapaths in each').argParser(ROUNDS);
}

function secondsOption(standard = 3): Option {
  return new Option('--seconds <n>', 'how long each measurement of bulk lasts')
    .argParser(wholeNumber(1, 1000, 'It must be 1 to 1000.'))
    .default(standard);
}

function outOption(): Option {
  return new Option('--out <folder>', 'where NAME.json goes').default('bench-out');
}

async function measure(suite: Suite, options: Options): Promise<void> {
  requireFolder(options.out);
  if (options.chart) requireFolder(dirname(options.chart));
  if (suite.root) await requireTools();
  const result = await alone(() => suite.run(options, progress));
  const path = writeReport(result, options.out);
  if (options.chart) writeFileSync(options.chart, drawChart(result, suite.title));
  console.log(options.output === 'json' ? JSON.stringify(result, null, 2) : formatReport(result));
  process.stderr.write(`  written to ${path}${options.chart ? ` and ${options.chart}` : ''}\n`);
}

async function measureAll(names: string[], options: AllOptions): Promise<void> {
  requireFolder(options.out);
  const wanted = names.length > 0 ? names : ALL;
  if (wanted.some((name) => SUITES[name]!.root)) await requireTools();
  const { runAll } = await import('./all.ts');
  const reports = await alone(() => runAll(wanted, options, progress));
  sayWritten(writePages(reports, options.out));
}

function report({ out, readme }: { out: string; readme?: string }): void {
  const reports = readReports(out);
  const written = writePages(reports, out);
  const throughput = reports.find(({ suite }) => suite === 'throughput');
  if (readme && throughput) {
    writeFileSync(readme, withTable(readFileSync(readme, 'utf8'), throughput));
    written.push(readme);
  }
  sayWritten(written);
}

function progress(line: string): void {
  process.stderr.write(`  ${line}\n`);
}

function sayWritten(paths: string[]): void {
  for (const path of paths) console.log(path);
}

async function alone<T>(run: () => Promise<T>): Promise<T> {
  const { lockLab } = await import('../../lab/state/lock.ts');
  const lock = await lockLab(BENCH_LAB, 0).catch((error) => {
    if ((error as KubetunError).code !== 'KT_LAB_BUSY') throw error;
    const next = 'wait until it has ended: two would disturb each other';
    throw new KubetunError('KT_BENCH_BUSY', 'another benchmark runs on this machine', next);
  });
  try {
    return await run();
  } finally {
    lock.release();
  }
}

/** Checked before the measurement, which takes minutes. */
function requireFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const { message } = error as Error;
    throw new KubetunError(
      'KT_BENCH_OUT',
      message,
      'name a folder that can be written with --out',
      {
        cause: error,
      },
    );
  }
}

async function requireTools(): Promise<void> {
  const { findTool, requireRoot } = await import('../../lab/host/tools.ts');
  requireRoot();
  for (const [tool, packageName] of Object.entries(TOOLS)) {
    if (findTool(tool) !== null) continue;
    throw new KubetunError(
      'KT_TOOL_MISSING',
      `${tool} is not installed`,
      `apt-get install ${packageName}`,
    );
  }
}
