// The cost of a connection's first packets, by the number of Services.
import type { Series } from '../report.ts';
import { clientIn, measureConnect } from './measure.ts';
import type { NetOptions } from './throughput.ts';
import { podsBy } from './topology.ts';
import type { Twin } from './twin.ts';
import { iptables } from './twins/iptables.ts';
import { kernelForward } from './twins/kernel.ts';
import { nftables } from './twins/nftables.ts';

const SIZES = [10, 1000, 10_000, 30_000];
export const CONNECTIONS = 4000;

const PERCENTILES = ['p50', 'p95', 'p99'] as const;

type Point = [twin: Twin, services: number];

/**
 * Measured points in the order of the report. Without proxies, which accept connections themselves.
 */
function pointsOf(twins: Twin[]): Point[] {
  return twins
    .filter((twin) => twin.datagrams)
    .flatMap((twin) => (twin === kernelForward ? [0] : SIZES).map((size): Point => [twin, size]));
}

/**
 * Points of a round in measuring order. Every other round runs backwards: a datapath is coldest
 * after its start, and a fixed order would favour the ratio of 10,000 to 10 Services.
 */
function inOrder(points: Point[], round: number): Point[] {
  return round % 2 === 1 ? points : points.toReversed();
}

/** Microseconds at PERCENTILES. */
export async function measureConnects({ twins, rounds, progress }: NetOptions): Promise<Series[]> {
  const points = pointsOf(twins);
  const series = points.flatMap(([twin, services]) =>
    PERCENTILES.map((p): Series => ({ name: nameOf(twin, services, p), unit: 'us', values: [] })),
  );
  for (let round = 1; round <= rounds; round++) {
    let last: Twin | null = null;
    for (const [twin, services] of inOrder(points, round)) {
      if (last && last !== twin) await last.end();
      last = twin;
      await twin.begin(services);
      const times = measureConnect(clientIn(podsBy(twin.attach)[0]), twin.address, CONNECTIONS);
      for (const p of PERCENTILES) {
        series.find((one) => one.name === nameOf(twin, services, p))!.values.push(times[p]);
      }
      const said = PERCENTILES.map((p) => times[p].toFixed(1)).join(' / ');
      progress(`round ${round}/${rounds}: ${twin.name}, ${services} Services: ${said} us`);
    }
    await last?.end();
  }
  return series;
}

function nameOf(twin: Twin, services: number, p: string): string {
  return services === 0 ? `${twin.name}, ${p}` : `${twin.name}, ${services} Services, ${p}`;
}

/**
 * kubetun's medians against its own with 10 Services, and against the others with equal Services.
 */
export function connectAgainst(name: string): string[] {
  const [twin, services, p] = name.split(', ') as [string, string, string | undefined];
  if (!twin.startsWith('kubetun') || p !== 'p50') return [];
  return [
    `${twin}, 10 Services, ${p}`,
    ...[iptables, nftables].map((t) => `${t.name}, ${services}, ${p}`),
  ];
}
