// wrk in a place of the lab.
import { findTool } from '../../../lab/host/tools.ts';
import type { TestLab } from '../../support/lab.ts';
import { HOST } from './world.ts';

export interface Load {
  perSecond: number;
  requests: number;
  p50Ms: number;
  p99Ms: number;
  /** Answers that are not 2xx or 3xx, connections that broke, and requests without an answer. */
  failed: number;
  /** What wrk says about them; '' for none. */
  why: string;
}

const CONNECTIONS = 32;
const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

export const hasWrk = () => findTool('wrk') !== null;

/** @param url with the address of a load balancer; the host of the requests is HOST. */
export async function load(lab: TestLab, url: string, seconds: number): Promise<Load> {
  const options = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '5s', '--latency'];
  const text = await lab.run('internet', 'wrk', ...options, '-H', `Host: ${HOST}`, url);
  return readLoad(text);
}

/** The output of wrk. */
export function readLoad(text: string): Load {
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
  const share = (percent: number) => {
    const [, value, unit = ''] =
      new RegExp(`^ +${percent}% +([\\d.]+)(\\w+)`, 'm').exec(text) ?? [];
    return Number(value) * (UNITS[unit] ?? Number.NaN);
  };
  const [errors = '', ...counts] =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  const refused = number(/Non-2xx or 3xx responses: (\d+)/);
  return {
    perSecond: number(/^Requests\/sec: +([\d.]+)/m),
    requests: number(/^ +(\d+) requests in/m),
    ...{ p50Ms: share(50), p99Ms: share(99) },
    failed: counts.reduce((sum, count) => sum + Number(count), refused),
    why: [errors, refused > 0 && `${refused} refused`].filter(Boolean).join(', '),
  };
}
