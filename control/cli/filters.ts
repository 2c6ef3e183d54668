import { KubetunError } from '../../datapath/error.ts';
import type { FlowRow, TupleRow } from '../../datapath/observe/flows.ts';
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';

/** What the filter options of `kubetun conntrack` say. */
export interface FlowFilterOptions {
  proto?: string;
  src?: string;
  dst?: string;
  service?: string;
  state?: string;
}

/** True if no option narrows it down. */
export function isUnfiltered({ proto, src, dst, service, state }: FlowFilterOptions): boolean {
  return !(proto || src || dst || service || state);
}

type Test = (flow: FlowRow) => boolean;

/** One test out of all the options that were given. Throws KubetunError KT_FILTER (wrong usage). */
export function flowFilter(options: FlowFilterOptions): Test {
  const tests: Test[] = [];
  const { proto, src, dst, service, state } = options;
  if (proto) tests.push((flow) => flow.proto === proto.toLowerCase());
  if (state) tests.push((flow) => flow.state.toLowerCase() === state.toLowerCase());
  if (service) tests.push((flow) => flow.service !== null && isService(flow.service, service));
  if (src) {
    const matches = endpointTest('--src', src);
    tests.push((flow) => matches(flow.original, 'source'));
  }
  if (dst) {
    const matches = endpointTest('--dst', dst);
    // Where a flow was sent to, or where it went: either may be what one knows.
    tests.push((flow) => matches(flow.original, 'target') || matches(flow.reply, 'source'));
  }
  return (flow) => tests.every((test) => test(flow));
}

/** `NS/NAME:PORT` as asked for by `NAME`, `NS/NAME` or all of it. */
export function isService(full: string, asked: string): boolean {
  const withoutPort = full.slice(0, full.lastIndexOf(':'));
  return [full, withoutPort, withoutPort.split('/')[1]].includes(asked);
}

/** A test for `ADDRESS`, `RANGE/LEN`, `:PORT` or `ADDRESS:PORT`. */
export function endpointTest(
  option: string,
  text: string,
): (t: TupleRow, end: 'source' | 'target') => boolean {
  const [, host = '', port] = /^([\d./]*)(?::(\d+))?$/.exec(text) ?? [];
  const range = parseRange(host.includes('/') ? host : `${host}/32`);
  if ((host === '' && port === undefined) || (host !== '' && !range)) {
    throw new KubetunError(
      'KT_FILTER',
      `${option} ${text} is no address`,
      'say ADDRESS, ADDRESS:PORT, :PORT or a range such as 10.244.1.0/24',
      { usage: true },
    );
  }
  return (tuple, end) => {
    const address = parseAddress(end === 'source' ? tuple.src : tuple.dst);
    const number = end === 'source' ? tuple.sport : tuple.dport;
    if (port !== undefined && number !== Number(port)) return false;
    return range === null || host === '' || ((address ?? 0) & range.mask) === range.address;
  };
}
