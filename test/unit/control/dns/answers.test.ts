// The answer table: a question, its transport and flags, and every section of the answer.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RCODE } from '../../../../control/dns/constants.ts';
import type { Request } from '../../../../control/dns/exchange.ts';
import { formatName, parseName } from '../../../../control/dns/name.ts';
import {
  type Answer,
  addressBytes,
  addressRecord,
  bareAnswer,
  nameRecord,
} from '../../../../control/dns/record.ts';
import { type Line, TABLES } from './table.ts';
import { ask, lines, makeResponder, makeZone } from './world.ts';

/** Records of the upstream server in these rows. */
async function upstream({ name, type }: Request): Promise<Answer> {
  const text = formatName(name).toLowerCase();
  if (text.startsWith('gone.')) return bareAnswer(RCODE.NXDOMAIN);
  if (text.startsWith('down.')) throw new Error('no server answers');
  const isKnown = text === 'ext.interwebs.test.' && type === 1;
  const address = addressRecord(name, addressBytes('192.0.2.1')!, 60);
  return { ...bareAnswer(RCODE.NOERROR), answers: isKnown ? [address] : [] };
}

async function check([name, type, row]: Line): Promise<void> {
  const zone = makeZone({ pods: row.pods ?? 'insecure' });
  zone.isSynced = row.isSynced ?? true;
  const asked: Request[] = [];
  const forward = {
    ask: (request: Request) => {
      asked.push(request);
      return upstream(request);
    },
  };
  const { packet, bytes } = await ask(makeResponder(zone, forward), name, type, row);
  const { rcode = 'NOERROR', isForwarded = false } = row;
  const isRefusal = !['NOERROR', 'NXDOMAIN'].includes(rcode) || type === 'ANY';
  assert.equal((packet as { rcode?: string }).rcode, rcode);
  assert.deepEqual(lines(packet.answers), row.answers?.toSorted() ?? []);
  assert.deepEqual(lines(packet.authorities), row.authority ?? []);
  assert.deepEqual(lines(packet.additionals), row.additional?.toSorted() ?? []);
  assert.equal(packet.flag_aa, !isForwarded && !isRefusal, 'AA');
  assert.equal(packet.flag_tc, false, 'TC');
  assert.equal(packet.flag_rd, ((row.flags ?? 0x100) & 0x100) !== 0, 'RD');
  assert.equal(packet.id, 4711);
  assert.equal(packet.questions?.[0]?.name, name.replace(/\.$/, ''), 'the case of the question');
  const hasEdns = packet.additionals?.some((record) => record.type === 'OPT') ?? false;
  assert.equal(hasEdns, row.edns !== undefined, 'EDNS');
  if (isForwarded) assert.ok(asked.length > 0, 'it is asked upstream');
  assert.ok(bytes.length <= 512 || row.transport === 'tcp' || row.edns);
}

describe('the answer table', () => {
  for (const [title, table] of Object.entries(TABLES)) {
    for (const line of table) {
      const [name, type, row] = line;
      const { pods, transport, edns, flags, isSynced, class: klass } = row;
      const how = JSON.stringify({ pods, transport, edns, flags, isSynced, klass });
      test(`${title}: ${name} ${type}${how === '{}' ? '' : ` ${how}`}`, () => check(line));
    }
  }

  test('has no row twice, and at least 90', () => {
    const all = Object.values(TABLES).flat();
    assert.ok(all.length >= 90, `${all.length} rows`);
    assert.equal(new Set(all.map((line) => JSON.stringify(line))).size, all.length);
  });
});

test('a server without a Service has the name ns.dns, with its own address', async () => {
  const ownAddresses = [addressBytes('172.0.7.7')!];
  const responder = makeResponder(makeZone({ ownAddresses }), { ask: upstream });
  const { packet } = await ask(responder, 'cluster.local', 'NS');
  assert.deepEqual(lines(packet.answers), ['cluster.local NS 5 ns.dns.cluster.local']);
  assert.deepEqual(lines(packet.additionals), ['ns.dns.cluster.local A 5 172.0.7.7']);
});

test('a CNAME from upstream stays before its addresses', async () => {
  const [alias, target] = ['alias.test', 'target.test'].map((text) => parseName(text)!);
  const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((text) => addressBytes(text)!);
  const answers = [
    nameRecord(alias!, 5, target!, 60),
    ...addresses.map((address) => addressRecord(target!, address, 60)),
  ];
  const forward = { ask: async () => ({ ...bareAnswer(RCODE.NOERROR), answers }) };
  const { packet } = await ask(makeResponder(makeZone(), forward), 'alias.test', 'A');
  const found = packet.answers!.map(({ type, name }) => [type, name]);
  assert.deepEqual(found[0], ['CNAME', 'alias.test']);
  assert.notEqual((packet.answers![1] as { data: string }).data, '192.0.2.1', 'they take turns');
});
