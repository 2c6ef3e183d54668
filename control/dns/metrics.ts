// Counters and times under CoreDNS's names, as Prometheus reads them.
import { rcodeName, typeName } from './constants.ts';
import type { ServerAddress } from './exchange.ts';

type Labels = Record<string, string>;

const BUCKETS_S = [
  0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
  2.048, 4.096, 8.192,
];
const BUCKETS_PROGRAMMING_S = Array.from({ length: 20 }, (_, i) => 0.001 * 2 ** i);
/** Query types with their own label. Clients must not be able to create labels. */
const TYPES_NAMED = /^(A|AAAA|CNAME|HTTPS|MX|NS|PTR|SOA|SRV|TXT|ANY|DS|SVCB)$/;

interface Histogram {
  counts: number[];
  sum: number;
  total: number;
}

/** Values of gauges, read at each scrape. */
export interface Gauges {
  entries: () => number;
}

export class Metrics {
  gauges: Gauges = { entries: () => 0 };
  readonly #server: string;
  readonly #counters = new Map<string, Map<string, number>>();
  readonly #times = new Map<string, { buckets: number[]; series: Map<string, Histogram> }>();

  /** @param server such as dns://:53. */
  constructor(server: string) {
    this.#server = server;
    for (const name of ['panics_total', 'forward_max_concurrent_rejects_total']) {
      this.#count(name, {}, 0);
    }
  }

  answered(about: {
    zone: string;
    proto: string;
    type: number;
    rcode: number;
    ms: number;
    plugin: string;
  }): void {
    const { zone, proto, type, rcode, ms, plugin } = about;
    const place = { server: this.#server, zone, view: '' };
    const name = typeName(type);
    const known = TYPES_NAMED.test(name) ? name : 'other';
    this.#count('dns_requests_total', { ...place, proto, family: '1', type: known });
    this.#count('dns_responses_total', { ...place, rcode: rcodeName(rcode), plugin });
    this.#observe('dns_request_duration_seconds', place, ms / 1000, BUCKETS_S);
  }

  panicked(): void {
    this.#count('panics_total', {});
  }

  cacheHit(type: 'success' | 'denial'): void {
    this.#count('cache_hits_total', { server: this.#server, type, view: '', zones: '.' });
  }

  cacheMiss(): void {
    this.#count('cache_misses_total', { server: this.#server, view: '', zones: '.' });
  }

  forwarded({ address, port }: ServerAddress, rcode: number, ms: number): void {
    const labels = { proxy_name: 'forward', rcode: rcodeName(rcode), to: `${address}:${port}` };
    this.#observe('proxy_request_duration_seconds', labels, ms / 1000, BUCKETS_S);
  }

  forwardRejected(): void {
    this.#count('forward_max_concurrent_rejects_total', {});
  }

  /** Time from a change of endpoints to the answer that shows it. */
  programmed(seconds: number): void {
    const labels = { service_kind: 'headless_with_selector' };
    const name = 'kubernetes_dns_programming_duration_seconds';
    this.#observe(name, labels, seconds, BUCKETS_PROGRAMMING_S);
  }

  /** The text format of Prometheus. */
  format(): string {
    const lines: string[] = [];
    for (const [name, series] of this.#counters) {
      lines.push(`# TYPE coredns_${name} counter`);
      for (const [labels, value] of series) lines.push(`coredns_${name}${labels} ${value}`);
    }
    lines.push('# TYPE coredns_cache_entries gauge');
    lines.push(`coredns_cache_entries${braces({ server: this.#server })} ${this.gauges.entries()}`);
    for (const [name, { buckets, series }] of this.#times) {
      lines.push(`# TYPE coredns_${name} histogram`);
      for (const [labels, { counts, sum, total }] of series) {
        const inner = labels.slice(1, -1);
        const bucket = (le: string, n: number) =>
          lines.push(`coredns_${name}_bucket{${inner}${inner && ','}le="${le}"} ${n}`);
        let below = 0;
        for (const [i, limit] of buckets.entries()) {
          below += counts[i]!;
          bucket(String(limit), below);
        }
        bucket('+Inf', total);
        lines.push(
          `coredns_${name}_sum${labels} ${sum}`,
          `coredns_${name}_count${labels} ${total}`,
        );
      }
    }
    return `${lines.join('\n')}\n`;
  }

  #count(name: string, labels: Labels, by = 1): void {
    const series = this.#counters.get(name) ?? new Map<string, number>();
    const key = braces(labels);
    this.#counters.set(name, series.set(key, (series.get(key) ?? 0) + by));
  }

  #observe(name: string, labels: Labels, seconds: number, buckets: number[]): void {
    const family = this.#times.get(name) ?? { buckets, series: new Map<string, Histogram>() };
    this.#times.set(name, family);
    const key = braces(labels);
    const empty = { counts: buckets.map(() => 0), sum: 0, total: 0 };
    const histogram = family.series.get(key) ?? empty;
    family.series.set(key, histogram);
    const at = buckets.findIndex((limit) => seconds <= limit);
    if (at >= 0) histogram.counts[at]!++;
    histogram.sum += seconds;
    histogram.total++;
  }
}

function braces(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
