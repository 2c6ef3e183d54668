// nft accepts the ruleset, and incremental changes give the same table as the whole ruleset. Uses
// two network namespaces.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { readReference } from '../../control/nftables/nft.ts';
import { diffTables, parseTable } from '../../control/nftables/observed.ts';
import { Ruleset } from '../../control/nftables/ruleset.ts';
import {
  FRONTEND_KINDS,
  FRONTEND_NODEPORT,
  type FrontendEntry,
  type ImageChange,
  type ServiceEntry,
} from '../../datapath/image/image.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../datapath/wire/ipv4.ts';
import { addr, change, NODE, NODE_ENTRY, OTHER_NODE, service } from '../support/datapath.ts';

const STEPWISE = 'e2e-nft-step';
const AT_ONCE = 'e2e-nft-once';
const RUNS = 12;
const ADDRESSES = ['10.96.0.1', '10.96.0.2', '198.51.100.9', OTHER_NODE];
const PROTOS = [PROTO_TCP, PROTO_UDP, PROTO_SCTP];

function nft(namespace: string, args: string[], input = ''): string {
  const all = ['netns', 'exec', namespace, 'nft', ...args];
  const { status, stdout, stderr } = spawnSync('ip', all, { input, encoding: 'utf8' });
  assert.equal(status, 0, `${stderr}\n${input}`);
  return stdout;
}

const apply = (namespace: string, lines: string[]) =>
  lines.length > 0 && nft(namespace, ['-f', '-'], `${lines.join('\n')}\n`);

/** The table in force, without what depends on the order of its changes. */
function inForce(namespace: string): Record<string, string> {
  const text = nft(namespace, ['-s', 'list', 'table', 'ip', 'kubetun']);
  const blocks = text.matchAll(/^\t(set|map|chain) (\S+) \{\n([\s\S]*?)^\t\}/gm);
  return Object.fromEntries(
    [...blocks].map(([, kind, name, body]) => {
      const lines = kind === 'chain' ? body! : body!.replaceAll(/\s+/g, ' ').split(/[,{}]/);
      return [
        `${kind} ${name}`,
        typeof lines === 'string'
          ? lines
          : lines
              .map((l) => l.trim())
              .sort()
              .join('\n'),
      ];
    }),
  );
}

const endpoints = fc
  .uniqueArray(fc.integer({ min: 2, max: 9 }), { maxLength: 4 })
  .map((hosts) => Int32Array.from(hosts.flatMap((host) => [addr(`10.244.1.${host}`), 8080])));
const ranges = fc.constantFrom(
  [],
  [addr('10.0.0.0'), -(2 ** 24)],
  [addr('10.0.0.0'), -(2 ** 24), addr('10.1.2.3'), -1, addr('192.0.2.0'), -256],
  [0, 0],
);
const entry: fc.Arbitrary<ServiceEntry> = fc
  .record({
    id: fc.integer({ min: 1, max: 4 }),
    flags: fc.nat(3),
    affinityS: fc.constantFrom(0, 60, 10_800),
    cluster: endpoints,
    local: endpoints,
    sourceRanges: ranges.map((words) => Int32Array.from(words)),
  })
  // A Service port keeps its protocol as long as its id.
  .map(({ id, ...rest }) => service(id, { ...rest, proto: PROTOS[id % 3]! }));
const step = fc.record({
  upsert: fc.uniqueArray(entry, { maxLength: 2, selector: ({ id }) => id }),
  remove: fc.option(fc.integer({ min: 1, max: 4 }), { freq: 4 }),
  frontends: fc.array(
    fc.record({
      address: fc.constantFrom(...ADDRESSES),
      port: fc.constantFrom(80, 81),
      kind: fc.nat(FRONTEND_KINDS.length - 1),
      serviceId: fc.integer({ min: 1, max: 4 }),
    }),
    { maxLength: 3 },
  ),
  nodes: fc.option(fc.integer({ min: 1, max: 2 }), { freq: 4 }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The cluster after each step, and the step as the compiler would output it. */
class Model {
  readonly services = new Map<number, ServiceEntry>();
  readonly frontends = new Map<string, FrontendEntry>();
  node = NODE_ENTRY;

  take({ upsert, remove, frontends, nodes }: Step): ImageChange {
    const said = change({ upsert: upsert.filter(({ id }) => id !== remove) });
    for (const one of said.upsert) this.services.set(one.id, one);
    if (nodes !== null) {
      const nodeAddresses = [NODE, OTHER_NODE].slice(0, nodes).map(addr);
      this.node = { ...NODE_ENTRY, nodeAddresses };
      said.node = this.node;
    }
    if (remove !== null && this.services.delete(remove)) {
      said.remove.push(remove);
      for (const one of this.frontends.values()) {
        if (one.serviceId === remove) this.#drop(one, said);
      }
    }
    for (const { address, port, kind, serviceId } of frontends) {
      const owner = this.services.get(serviceId);
      if (!owner) continue;
      const at = kind === FRONTEND_NODEPORT ? NODE : address;
      const one = { address: addr(at), port, proto: owner.proto, kind, serviceId };
      const before = this.frontends.get(keyOf(one));
      if (said.addFrontends.some((other) => keyOf(other) === keyOf(one))) continue;
      if (before) this.#drop(before, said);
      this.frontends.set(keyOf(one), one);
      said.addFrontends.push(one);
    }
    return said;
  }

  whole(): ImageChange {
    const addFrontends = [...this.frontends.values()];
    return change({ node: this.node, upsert: [...this.services.values()], addFrontends });
  }

  #drop(one: FrontendEntry, said: ImageChange): void {
    this.frontends.delete(keyOf(one));
    said.removeFrontends.push(one);
  }
}

const keyOf = ({ address, port, proto }: FrontendEntry) => `${address} ${port} ${proto}`;

describe('the ruleset and nft', () => {
  before(() => {
    for (const name of [STEPWISE, AT_ONCE]) {
      spawnSync('ip', ['netns', 'del', name]);
      assert.equal(spawnSync('ip', ['netns', 'add', name]).status, 0);
    }
  });
  after(() => {
    for (const name of [STEPWISE, AT_ONCE]) spawnSync('ip', ['netns', 'del', name]);
  });

  test('incremental changes give the same table as the whole ruleset', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
        const model = new Model();
        const ruleset = new Ruleset();
        ruleset.take(change({ node: NODE_ENTRY }));
        apply(STEPWISE, ruleset.whole());
        for (const one of steps) {
          ruleset.take(model.take(one));
          apply(STEPWISE, ruleset.changes());
        }
        const anew = new Ruleset();
        anew.take(model.whole());
        apply(AT_ONCE, anew.whole());
        assert.deepEqual(inForce(STEPWISE), inForce(AT_ONCE));
        // The agent compares with this after foreign changes: equal tables must show no difference.
        const table = parseTable(nft(STEPWISE, ['-j', 'list', 'table', 'ip', 'kubetun']));
        assert.deepEqual(diffTables(table, readReference(anew.whole())!), []);
      }),
      { numRuns: RUNS },
    );
  });

  test('endpoint counts of every protocol change while others use the same map', () => {
    const hosts = (count: number) =>
      Int32Array.from(Array.from({ length: count }, (_, i) => [addr('10.244.1.2') + i, 80]).flat());
    const upsert = (count: number) =>
      PROTOS.flatMap((proto, i) =>
        [i + 1, i + 257].map((id) => service(id, { proto, cluster: hosts(count) })),
      );
    const addFrontends = upsert(2).map(({ id, proto }) => {
      return { address: addr('10.96.0.1'), port: id, proto, kind: 0, serviceId: id };
    });
    const ruleset = new Ruleset();
    ruleset.take(change({ node: NODE_ENTRY, upsert: upsert(2), addFrontends }));
    apply(STEPWISE, ruleset.whole());
    for (const count of [4, 3, 5]) {
      ruleset.take(change({ upsert: upsert(count).slice(0, 5) }));
      apply(STEPWISE, ruleset.changes());
    }
    const text = nft(STEPWISE, ['list', 'table', 'ip', 'kubetun']);
    assert.equal(text.match(/numgen random mod 5 /g)?.length, 5);
  });

  test('no other table than ip kubetun changes', () => {
    nft(AT_ONCE, ['add', 'table', 'ip', 'kube-proxy']);
    nft(AT_ONCE, ['add', 'chain', 'ip', 'kube-proxy', 'services']);
    const ruleset = new Ruleset();
    ruleset.take(change({ node: NODE_ENTRY }));
    apply(AT_ONCE, ruleset.whole());
    assert.match(nft(AT_ONCE, ['list', 'ruleset']), /table ip kube-proxy \{\n\tchain services/);
  });
});
