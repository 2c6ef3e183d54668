// Which packets of a trace one wants to see.
import { KubetunError } from '../../datapath/error.ts';
import type { TupleRow } from '../../datapath/observe/flows.ts';
import type { Tuple } from '../../datapath/observe/packet.ts';
import type { TraceRecord } from '../../datapath/observe/trace.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { protocolName } from '../explain/question.ts';
import { endpointTest, isService } from './filters.ts';

type Test = (record: TraceRecord) => boolean;

const PROTOCOLS = new Set(['tcp', 'udp', 'icmp', 'sctp']);
const VERDICTS = new Set(['forward', 'reject', 'drop', 'held', 'new']);

/** One test out of all the words; each must hold. Throws KubetunError KT_FILTER (wrong usage). */
export function traceFilter(words: string[]): Test {
  const tests = words.map(testOf);
  return (record) => tests.every((test) => test(record));
}

function testOf(word: string): Test {
  const lower = word.toLowerCase();
  if (PROTOCOLS.has(lower)) return ({ tuple }) => protocolName(tuple.proto) === lower;
  if (VERDICTS.has(lower)) return ({ verdict, reason }) => verdict === lower || reason === lower;
  const service = /^(?:svc|services?)\/(.+)$/.exec(word)?.[1];
  if (service) return (record) => record.service !== null && isService(record.service, service);
  if (!/^[\d.:/]+$/.test(word)) {
    throw new KubetunError(
      'KT_FILTER',
      `${word} is nothing to look for`,
      'say ADDRESS, ADDRESS:PORT, :PORT, a range, tcp|udp|icmp|sctp, new|drop|reject, or svc/NAME',
      { usage: true },
    );
  }
  const matches = endpointTest('the filter', word);
  const either = (tuple: Tuple) => {
    const row = rowOf(tuple);
    return matches(row, 'source') || matches(row, 'target');
  };
  return ({ tuple, left }) => either(tuple) || (left !== null && either(left));
}

function rowOf({ src, sport, dst, dport }: Tuple): TupleRow {
  return { src: formatAddress(src), sport, dst: formatAddress(dst), dport };
}
