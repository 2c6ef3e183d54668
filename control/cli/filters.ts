// Filters of flows (`conntrack`) and of packets (`trace`).

import { KubetunError } from '../../datapath/error.ts';
import type { FlowRow } from '../../datapath/observe/flows.ts';
import { type Tuple, type TupleRow, tupleRow } from '../../datapath/observe/packet.ts';
import type { TraceRecord } from '../../datapath/observe/trace.ts';
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import { PROTO_BY_NAME } from '../../datapath/wire/ipv4.ts';
import { serviceKeyOf } from '../model/parse.ts';

/** Filter options of `kubetun conntrack`. */
export interface FlowFilterOptions {
  proto?: string;
  src?: string;
  dst?: string;
  service?: string;
  state?: string;
}

/** True without any filter option. */
export function isUnfiltered({ proto, src, dst, service, state }: FlowFilterOptions): boolean {
  return !(proto || src || dst || service || state);
}

type FlowTest = (flow: FlowRow) => boolean;

/** One test for all options. Throws KubetunError KT_FILTER (wrong usage). */
export function flowFilter(options: FlowFilterOptions): FlowTest {
  const tests: FlowTest[] = [];
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
    // The address before or after translation: a user may know either.
    tests.push((flow) => matches(flow.original, 'target') || matches(flow.reply, 'source'));
  }
  return (flow) => tests.every((test) => test(flow));
}

/** True if `NS/NAME:PORT` matches a filter: `NAME`, `NS/NAME` or the whole text. */
export function isService(full: string, asked: string): boolean {
  const withoutPort = serviceKeyOf(full);
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
      `${option} ${text} is not an address`,
      'give ADDRESS, ADDRESS:PORT, :PORT or a range such as 10.244.1.0/24',
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

type PacketTest = (record: TraceRecord) => boolean;

const VERDICTS = new Set(['forward', 'reject', 'drop', 'held', 'new']);

/** One test for all words, which must all match. Throws KubetunError KT_FILTER (wrong usage). */
export function traceFilter(words: string[]): PacketTest {
  const tests = words.map(testOf);
  return (record) => tests.every((test) => test(record));
}

function testOf(word: string): PacketTest {
  const lower = word.toLowerCase();
  const proto = PROTO_BY_NAME.get(lower);
  if (proto !== undefined) return ({ tuple }) => tuple.proto === proto;
  if (VERDICTS.has(lower)) return ({ verdict, reason }) => verdict === lower || reason === lower;
  const service = /^(?:svc|services?)\/(.+)$/.exec(word)?.[1];
  if (service) return (record) => record.service !== null && isService(record.service, service);
  if (!/^[\d.:/]+$/.test(word)) {
    throw new KubetunError(
      'KT_FILTER',
      `${word} is not a filter`,
      'give ADDRESS, ADDRESS:PORT, :PORT, a range, tcp|udp|icmp|sctp, new|drop|reject, or svc/NAME',
      { usage: true },
    );
  }
  const matches = endpointTest('the filter', word);
  const either = (tuple: Tuple) => {
    const row = tupleRow(tuple);
    return matches(row, 'source') || matches(row, 'target');
  };
  return ({ tuple, left }) => either(tuple) || (left !== null && either(left));
}
