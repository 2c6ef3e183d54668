// The content of an image as an nftables table: commands for the whole table, or for a change.
// Runs nothing; it remembers which commands it has returned.
import {
  FRONTEND_NODEPORT,
  type FrontendEntry,
  type ImageChange,
  type NodeEntry,
  type ServiceEntry,
} from '../../datapath/image/image.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { protoName } from '../../datapath/wire/ipv4.ts';
import { BASE_HOOKS, BASE_SETS, baseChains, baseElements } from './base.ts';
import { Ledger, type LedgerChanges } from './ledger.ts';
import type { ObservedTable } from './observed.ts';
import { chainOf, denialOf, rulesOf, type ServiceRules } from './service.ts';

export const TABLE = 'ip kubetun';

interface Held {
  entry: ServiceEntry | null;
  /** Frontends by element key. */
  frontends: Map<string, FrontendEntry>;
  /** Its entries in the ledgers. */
  rules: ServiceRules;
}

/**
 * The table of one node. All changes together give the same table as `whole`:
 * test/e2e/nftables.test.ts compares the two.
 */
export class Ruleset {
  /** Name -> rules, a line each. */
  readonly #chains = new Ledger();
  /** Name -> `set` or `map`, and its definition. */
  readonly #sets = new Ledger();
  /** `SET KEY` -> value, empty in a set. */
  readonly #elements = new Ledger();
  readonly #services = new Map<number, Held>();
  #nodeAddresses = new Set<number>();
  #base = noRules();

  /** Adds a change. The first one must contain the node. */
  take(change: ImageChange): void {
    const dirty = new Set<number>(change.remove);
    for (const frontend of change.removeFrontends) {
      dirty.add(frontend.serviceId);
      this.#held(frontend.serviceId).frontends.delete(keyOf(frontend));
    }
    for (const id of change.remove) this.#held(id).entry = null;
    for (const entry of change.upsert) {
      dirty.add(entry.id);
      this.#held(entry.id).entry = entry;
    }
    for (const frontend of change.addFrontends) {
      dirty.add(frontend.serviceId);
      this.#held(frontend.serviceId).frontends.set(keyOf(frontend), frontend);
    }
    if (change.node) {
      this.#takeNode(change.node);
      // The elements of a frontend depend on whether its address is the node's.
      for (const id of this.#services.keys()) dirty.add(id);
    }
    // Release first: a key may pass from one Service to another with another value.
    for (const id of dirty) this.#release(this.#held(id).rules);
    for (const id of dirty) this.#write(id);
  }

  /** Commands that replace the present table, if any. */
  whole(): string[] {
    return [
      `add table ${TABLE}`,
      `delete table ${TABLE}`,
      `add table ${TABLE}`,
      ...commands(this.#sets.takeAll(), this.#chains.takeAll(), this.#elements.takeAll()),
    ];
  }

  /** Commands for the changes since the last `whole` or `changes`. Empty without a change. */
  changes(): string[] {
    return commands(
      this.#sets.takeChanges(),
      this.#chains.takeChanges(),
      this.#elements.takeChanges(),
    );
  }

  /** Missing objects, and those with another number of rules or elements, one line each. */
  diff(observed: ObservedTable | null): string[] {
    if (!observed) return [`table ${TABLE} is gone`];
    const missing: string[] = [];
    for (const [name, rules] of this.#chains.entries()) {
      const wanted = rules === '' ? 0 : rules.split('\n').length;
      const count = observed.get(`chain ${name}`)?.count ?? null;
      if (count !== wanted) missing.push(`chain ${name} has ${count ?? 'no'} rules, not ${wanted}`);
    }
    const elements = new Map<string, number>();
    for (const [key] of this.#elements.entries()) {
      const set = key.split(' ', 1)[0]!;
      elements.set(set, (elements.get(set) ?? 0) + 1);
    }
    for (const [name, what] of this.#sets.entries()) {
      const wanted = elements.get(name) ?? 0;
      const count = observed.get(`${kindOf(what)} ${name}`)?.count ?? null;
      // The kernel adds the elements of dynamic sets: clients with session affinity.
      if (count === null) missing.push(`${kindOf(what)} ${name} is gone`);
      else if (!isDynamic(what) && count !== wanted) {
        missing.push(`${kindOf(what)} ${name} has ${count} elements, not ${wanted}`);
      }
    }
    return missing;
  }

  #takeNode(node: NodeEntry): void {
    this.#release(this.#base);
    this.#nodeAddresses = new Set(node.nodeAddresses);
    this.#base = {
      chains: new Map(Object.entries(baseChains(node))),
      sets: new Map(Object.entries(BASE_SETS)),
      elements: new Map(baseElements(node).map((element) => [element, ''])),
    };
    this.#hold(this.#base);
  }

  #held(id: number): Held {
    let held = this.#services.get(id);
    if (!held) {
      held = { entry: null, frontends: new Map(), rules: noRules() };
      this.#services.set(id, held);
    }
    return held;
  }

  #write(id: number): void {
    const held = this.#held(id);
    const { entry, frontends } = held;
    if (!entry) {
      held.rules = noRules();
      if (frontends.size === 0) this.#services.delete(id);
      return;
    }
    const kinds = new Set([...frontends.values()].map(({ kind }) => kind));
    held.rules = rulesOf(entry, kinds);
    this.#hold(held.rules);
    for (const [key, frontend] of frontends) this.#addFrontend(entry, key, frontend, held.rules);
  }

  #addFrontend(
    entry: ServiceEntry,
    key: string,
    { address, kind }: FrontendEntry,
    { elements }: ServiceRules,
  ): void {
    const add = (element: string, value: string) => {
      // Frontends of a Service port that share an address share its element too.
      if (elements.has(element)) return;
      elements.set(element, value);
      this.#elements.hold(element, value);
    };
    add(`frontends ${key}`, `goto ${chainOf(entry, kind)}`);
    const own = this.#nodeAddresses.has(address);
    const denial = denialOf(entry, kind);
    if (!own && kind !== FRONTEND_NODEPORT) add(`known ${formatAddress(address)}`, '');
    // Packets to a known address are refused by default. The node's address is not in `known`,
    // because its other ports belong to sockets of the node.
    if (denial !== 'goto refuse' || own) add(`denials ${key}`, denial);
  }

  #hold({ chains, sets, elements }: ServiceRules): void {
    for (const [name, rules] of chains) this.#chains.hold(name, rules.join('\n'));
    for (const [name, what] of sets) this.#sets.hold(name, what);
    for (const [element, value] of elements) this.#elements.hold(element, value);
  }

  #release({ chains, sets, elements }: ServiceRules): void {
    for (const name of chains.keys()) this.#chains.release(name);
    for (const name of sets.keys()) this.#sets.release(name);
    for (const element of elements.keys()) this.#elements.release(element);
  }
}

function isDynamic(what: string): boolean {
  return /\bflags\b[^;]*\bdynamic\b/.test(what);
}

function noRules(): ServiceRules {
  return { chains: new Map(), sets: new Map(), elements: new Map() };
}

function keyOf({ address, proto, port }: FrontendEntry): string {
  return `${formatAddress(address)} . ${protoName(proto)} . ${port}`;
}

/**
 * Orders the commands: an object is added before its first reference, and deleted after its last.
 */
function commands(sets: LedgerChanges, chains: LedgerChanges, elements: LedgerChanges): string[] {
  const gone = ({ before, after }: LedgerChanges) => [...before].filter(([key]) => !after.has(key));
  const come = ({ before, after }: LedgerChanges) => [...after].filter(([key]) => !before.has(key));
  return [
    ...come(sets).map(([name, what]) => {
      const kind = kindOf(what);
      return `add ${kind} ${TABLE} ${name} { ${what.slice(kind.length + 1)}; }`;
    }),
    ...come(chains).map(([name]) => {
      const hook = BASE_HOOKS[name];
      return `add chain ${TABLE} ${name}${hook ? ` { ${hook} }` : ''}`;
    }),
    ...elementCommands('delete', elements.before),
    ...[...chains.before.keys()].map((name) => `flush chain ${TABLE} ${name}`),
    ...[...chains.after].flatMap(([name, rules]) =>
      rules
        .split('\n')
        .filter(Boolean)
        .map((rule) => `add rule ${TABLE} ${name} ${rule}`),
    ),
    ...elementCommands('add', elements.after),
    ...gone(chains).map(([name]) => `delete chain ${TABLE} ${name}`),
    ...gone(sets).map(([name, what]) => `delete ${kindOf(what)} ${TABLE} ${name}`),
  ];
}

function elementCommands(verb: string, elements: Map<string, string>): string[] {
  const setOf = (element: string) => element.slice(0, element.indexOf(' '));
  return [...Map.groupBy(elements, ([element]) => setOf(element))].map(([set, list]) => {
    const texts = list.map(([element, value]) => {
      const key = element.slice(set.length + 1);
      return value === '' ? key : `${key} : ${value}`;
    });
    return `${verb} element ${TABLE} ${set} { ${texts.join(', ')} }`;
  });
}

function kindOf(what: string): string {
  return what.slice(0, what.indexOf(' '));
}
