// The benchmarks by name. Each is imported only when it runs.
import type { Report } from './report.ts';

/** Options of a benchmark. */
export interface RunOptions {
  /** Number of rounds. Each round measures all points. */
  rounds: number;
  /** Duration of each measurement of bulk. */
  seconds: number;
  /** Services of the cluster, where the benchmark takes their number. */
  services?: number;
  /** Pairs of A and AAAA queries. */
  pairs?: number;
  /** Ingresses of the cluster. */
  ingresses?: number;
  /** Seconds of requests while objects change. */
  churn?: number;
}

export interface Suite {
  about: string;
  title: string;
  /** Needs namespaces. */
  root: boolean;
  rounds: number;
  run(options: RunOptions, progress: (line: string) => void): Promise<Report>;
}

export const SUITES: Record<string, Suite> = {
  core: {
    about: 'the pipeline in memory: ns a packet, established and new connections',
    title: 'The pipeline in memory',
    root: false,
    rounds: 7,
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
  pods: {
    about: 'bulk, datagrams and connects of two pods on a node with 2, 20 and 200',
    title: 'Through one node, by the number of its pods',
    root: true,
    rounds: 5,
    run: async ({ rounds, seconds }, progress) =>
      (await import('./net/suite.ts')).benchPods({ rounds, seconds, progress }),
  },
  across: {
    about: 'bulk, datagrams and connects between two nodes and from the internet beside nftables',
    title: 'Through two nodes, and from the internet',
    root: true,
    rounds: 7,
    run: async ({ rounds, seconds }, progress) =>
      (await import('./across/suite.ts')).benchAcross({ rounds, seconds, progress }),
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
  dns: {
    about: 'names at 10,000 Services: change to answer, memory; queries through the DNS Service',
    title: 'Names, and queries through the DNS Service',
    root: true,
    rounds: 3,
    run: async ({ services = 10_000, pairs = 100_000, ...options }, progress) =>
      (await import('./dns/suite.ts')).benchDns({ ...options, services, pairs, progress }),
  },
  ingress: {
    about: 'requests through HAProxy beside one written by hand; under changes; 1,000 Ingresses',
    title: 'Requests through an Ingress',
    root: true,
    rounds: 3,
    run: async ({ ingresses = 1000, churn = 60, ...options }, progress) =>
      (await import('./ingress/suite.ts')).benchIngress({ ...options, ingresses, churn, progress }),
  },
};
