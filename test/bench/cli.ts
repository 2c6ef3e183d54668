import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { wholeNumber } from '../../control/cli/options.ts';
import { type OutputFormat, outputOption } from '../../control/cli/output.ts';
import { KubetunError } from '../../datapath/error.ts';
import { drawChart } from './chart.ts';
import { formatReport, type Report, writeReport } from './report.ts';

interface Options {
  rounds: number;
  seconds: number;
  out: string;
  chart?: string;
  output: OutputFormat;
}

interface Suite {
  about: string;
  title: string;
  /** Needs namespaces. */
  root: boolean;
  rounds: number;
  run(options: Options, progress: (line: string) => void): Promise<Report>;
}

const SUITES: Record<string, Suite> = {
  core: {
    about: 'the pipeline in memory: ns a packet, established and new connections',
    title: 'The pipeline in memory',
    root: false,
    rounds: 5,
    run: async ({ rounds }, progress) =>
      (await import('./core/suite.ts')).benchCore(rounds, progress),
  },
  throughput: {
    about: 'bulk, datagrams and connects beside kernel forwarding, iptables, nftables, HAProxy',
    title: 'Through one node, pod to pod',
    root: true,
    rounds: 9,
    run: async ({ rounds, seconds }, progress) =>
      (await import('./net/suite.ts')).benchThroughput({ rounds, seconds, progress }),
  },
  connect: {
    about: 'connect times at 10 to 30,000 Services beside iptables and nftables',
    title: 'Time to connect, by the number of Services',
    root: true,
    rounds: 9,
    run: async ({ rounds, seconds }, progress) =>
      (await import('./net/suite.ts')).benchConnect({ rounds, seconds, progress }),
  },
  scale: {
    about: 'compile, publish and memory at 10,000 to 100,000 Services; a node among 2 and 1,000',
    title: 'What a control plane costs, by the number of Services',
    root: false,
    rounds: 3,
    run: async ({ rounds }, progress) =>
      (await import('./scale/suite.ts')).benchScale(rounds, progress),
  },
  services: {
    about: '200 Services created at 15 in parallel: from create to the first endpoint',
    title: 'From the creation of a Service to its first endpoint',
    root: false,
    rounds: 5,
    run: async ({ rounds }, progress) =>
      (await import('./pace/services.ts')).benchServices({ rounds, beside: [0, 10_000], progress }),
  },
  change: {
    about: 'a changed endpoint at 10,000 Services: from the write to the first datagram it answers',
    title: 'From the write of an endpoint to the first datagram it answers',
    root: true,
    rounds: 3,
    run: async ({ rounds, seconds }, progress) =>
      (await import('./pace/change.ts')).benchChange({
        ...{ rounds, seconds, progress },
        services: 10_000,
      }),
  },
};

/** Two concurrent benchmarks would disturb each other. */
const BENCH_LAB = 'ktbench';

const TOOLS: Record<string, string> = {
  ip: 'iproute2',
  iperf3: 'iperf3',
  nft: 'nftables',
  'iptables-legacy': 'iptables',
  haproxy: 'haproxy',
};

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
  scripts/kubetun bench throughput --rounds 9 --chart docs/bench/throughput.svg`,
    );
  for (const [name, suite] of Object.entries(SUITES)) {
    bench
      .command(name)
      .description(suite.about)
      .option(
        '--rounds <n>',
        'rounds, all datapaths in each',
        wholeNumber(1, 1000, 'It must be 1 to 1000.'),
        suite.rounds,
      )
      .option(
        '--seconds <n>',
        'how long each measurement of bulk lasts',
        wholeNumber(1, 1000, 'It must be 1 to 1000.'),
        3,
      )
      .option('--out <folder>', 'where NAME.json goes', 'bench-out')
      .option('--chart <file>', 'draw an SVG as well')
      .addOption(outputOption())
      .action((options: Options) => measure(suite, options));
  }
}

async function measure(suite: Suite, options: Options): Promise<void> {
  requireFolder(options.out);
  if (options.chart) requireFolder(dirname(options.chart));
  if (suite.root) await requireTools();
  const lock = await (await import('../../lab/state/lock.ts')).lockLab(BENCH_LAB, 0);
  const report = await suite.run(options, (line) => process.stderr.write(`  ${line}\n`));
  lock.release();
  const path = writeReport(report, options.out);
  if (options.chart) writeFileSync(options.chart, drawChart(report, suite.title));
  console.log(options.output === 'json' ? JSON.stringify(report, null, 2) : formatReport(report));
  process.stderr.write(`  written to ${path}${options.chart ? ` and ${options.chart}` : ''}\n`);
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
