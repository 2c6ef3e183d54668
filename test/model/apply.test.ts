// Server-side apply against a flat table of paths, values and owners, under random applies and
// updates.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Applied, applyConfig } from '../../control/apiserver/apply/apply.ts';
import {
  difference,
  type FieldSet,
  intersection,
  isSame,
  parseFieldSet,
  paths,
  union,
} from '../../control/apiserver/apply/field-set.ts';
import { fieldSetOf } from '../../control/apiserver/apply/fields.ts';
import { recordUpdate } from '../../control/apiserver/apply/ownership.ts';
import { schemaOf } from '../../control/apiserver/apply/schema.ts';
import { StatusError } from '../../control/apiserver/status.ts';
import type { KubeObject } from '../../control/kube/object.ts';

const NOW = '2026-01-01T00:00:00Z';
const MANAGERS = ['ann', 'bob', 'cyd'];

type Flat = Map<string, string>;

/** A Deployment's fields, with so few kinds and values that random ones collide. */
interface Fields {
  labels: { a?: string; b?: string };
  replicas?: number;
  selector?: string;
  containers: { name: string; image?: string; env: { A?: string; B?: string } }[];
}

const value = fc.constantFrom('1', '2');
const dict = (keys: string[]) =>
  fc.record(Object.fromEntries(keys.map((key) => [key, value])), { requiredKeys: [] });
const container = (name: string) =>
  fc.record(
    { name: fc.constant(name), image: value, env: dict(['A', 'B']) },
    { requiredKeys: ['name', 'env'] },
  );
const fields: fc.Arbitrary<Fields> = fc.record(
  {
    labels: dict(['a', 'b']),
    replicas: fc.constantFrom(1, 2),
    selector: value,
    containers: fc
      .tuple(fc.subarray(['c1', 'c2', 'c3']), container(''), container(''), container(''))
      .chain(([names, ...made]) =>
        fc.shuffledSubarray(
          names.map((name, i) => ({ ...made[i]!, name })),
          { minLength: names.length },
        ),
      ),
  },
  { requiredKeys: ['labels', 'containers'] },
);

function objectOf({ labels, replicas, selector, containers }: Fields): KubeObject {
  const list = containers.map(({ env, ...rest }) => ({
    ...rest,
    ...(Object.keys(env).length > 0 && {
      env: Object.entries(env).map(([name, value]) => ({ name, value })),
    }),
  }));
  const spec = {
    ...(replicas && { replicas }),
    ...(selector && { selector: { matchLabels: { x: selector } } }),
    ...(list.length > 0 && { template: { spec: { containers: list } } }),
  };
  const metadata = { name: 'd', ...(Object.keys(labels).length > 0 && { labels }) };
  const object: KubeObject = { apiVersion: 'apps/v1', kind: 'Deployment', metadata };
  return Object.keys(spec).length > 0 ? { ...object, spec } : object;
}

/** The paths of an object's values, found from a list of possible paths. */
function flatten({ metadata, spec }: KubeObject): Flat {
  const flat: Flat = new Map();
  for (const [key, label] of Object.entries(metadata.labels ?? {})) {
    flat.set(`.metadata.labels.${key}`, label);
  }
  if (spec?.replicas) flat.set('.spec.replicas', String(spec.replicas));
  if (spec?.selector) flat.set('.spec.selector', JSON.stringify(spec.selector));
  for (const { name, image, env } of spec?.template?.spec?.containers ?? []) {
    const at = `.spec.template.spec.containers[name=${JSON.stringify(name)}]`;
    flat.set(`${at}.name`, name);
    if (image) flat.set(`${at}.image`, image);
    for (const variable of env ?? []) {
      const item = `${at}.env[name=${JSON.stringify(variable.name)}]`;
      flat.set(`${item}.name`, variable.name);
      if (variable.value) flat.set(`${item}.value`, variable.value);
    }
  }
  return flat;
}

/** The naive model: owners and values by path. */
class Oracle {
  values: Flat = new Map();
  readonly owners = new Map<string, Set<string>>();

  /** Conflicts: paths of other owners that would change. If there are any, nothing changes. */
  apply(wanted: Flat, who: string, force: boolean): string[] {
    const changed = [...wanted].filter(([path, value]) => this.values.get(path) !== value);
    const conflicts = changed
      .map(([path]) => path)
      .filter((path) => [...(this.owners.get(path) ?? [])].some((owner) => owner !== who));
    if (conflicts.length > 0 && !force) return conflicts.sort();
    for (const [path, value] of changed) this.#set(path, value);
    for (const path of wanted.keys()) this.owners.get(path)!.add(who);
    for (const [path, owners] of this.owners) {
      if (wanted.has(path) || !owners.delete(who) || owners.size > 0) continue;
      this.#remove(path);
    }
    return [];
  }

  update(wanted: Flat, who: string): void {
    for (const [path, value] of wanted) {
      if (this.values.get(path) === value) continue;
      this.#set(path, value);
      this.owners.get(path)!.add(who);
    }
    for (const path of this.values.keys()) {
      if (wanted.has(path)) continue;
      this.#remove(path);
    }
  }

  /** An item without its name loses all its fields, of any owner. */
  #remove(path: string): void {
    const item = path.endsWith('].name') ? path.slice(0, -'.name'.length) : null;
    for (const other of [...this.values.keys()]) {
      if (other !== path && (item === null || !other.startsWith(item))) continue;
      this.values.delete(other);
      this.owners.delete(other);
    }
  }

  #set(path: string, value: string): void {
    this.values.set(path, value);
    this.owners.set(path, new Set());
  }
}

function apply(live: Applied | null, config: KubeObject, manager: string, force = false): Applied {
  const writer = { manager, operation: 'Apply' as const, apiVersion: 'apps/v1' };
  return applyConfig(live && stored(live), config, writer, force, NOW);
}

function stored({ object, managers }: Applied): KubeObject {
  return { ...object, metadata: { ...object.metadata, managedFields: managers } };
}

function update({ object, managers }: Applied, next: KubeObject, manager: string): Applied {
  const writer = { manager, operation: 'Update' as const, apiVersion: 'apps/v1' };
  return { object: next, managers: recordUpdate(managers, object, next, writer, NOW) };
}

/** Sorted paths of the conflicting fields. Empty if the apply succeeds. */
function conflictsOf(act: () => void): string[] {
  try {
    act();
    return [];
  } catch (error) {
    assert.ok(error instanceof StatusError);
    return [...new Set(error.details.causes!.map(({ field }) => field))].sort();
  }
}

/** Owners of each present value. */
function ownersOf({ object, managers }: Applied): Map<string, string[]> {
  const owners = new Map([...flatten(object).keys()].map((path) => [path, [] as string[]]));
  for (const { manager, operation, fieldsV1 } of managers) {
    for (const path of paths(fieldsV1)) owners.get(path)?.push(`${manager} ${operation}`);
  }
  return sorted([...owners].map(([path, names]) => [path, names.sort()]));
}

function sorted<V>(entries: Iterable<[string, V]>): Map<string, V> {
  return new Map([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const write = fc.record({
  fields,
  manager: fc.constantFrom(...MANAGERS),
  how: fc.constantFrom('apply' as const, 'force' as const, 'update' as const),
});

test('applies and updates agree with a flat table of values and owners', () => {
  fc.assert(
    fc.property(fields, fc.array(write, { maxLength: 8 }), (first, writes) => {
      const oracle = new Oracle();
      let live = apply(null, objectOf(first), 'ann');
      oracle.apply(flatten(objectOf(first)), 'ann Apply', false);
      // The server tracks no unmanaged object, and the table has none.
      for (const { fields, manager, how } of writes) {
        if (live.managers.length === 0) return;
        const wanted = objectOf(fields);
        if (how === 'update') {
          oracle.update(flatten(wanted), `${manager} Update`);
          live = update(live, wanted, manager);
        } else {
          const force = how === 'force';
          const expected = oracle.apply(flatten(wanted), `${manager} Apply`, force);
          const found = conflictsOf(() => {
            live = apply(live, wanted, manager, force);
          });
          assert.deepEqual(found, expected);
        }
        assert.deepEqual(sorted(flatten(live.object)), sorted(oracle.values));
        const owners = [...oracle.owners].map(([path, names]): [string, string[]] => [
          path,
          [...names].sort(),
        ]);
        assert.deepEqual(ownersOf(live), sorted(owners));
      }
    }),
    { numRuns: 1000 },
  );
});

test('a repeated apply changes nothing', () => {
  fc.assert(
    fc.property(fields, fields, (first, second) => {
      const live = apply(apply(null, objectOf(first), 'ann'), objectOf(second), 'bob', true);
      const again = apply(live, objectOf(second), 'bob');
      assert.deepEqual(again.object, stored(live));
      assert.deepEqual(again.managers, live.managers);
    }),
  );
});

test('an empty apply removes exactly the fields that only this manager owned', () => {
  fc.assert(
    fc.property(fields, fields, (first, second) => {
      const live = apply(apply(null, objectOf(first), 'ann'), objectOf(second), 'bob', true);
      const nothing = objectOf({ labels: {}, containers: [] });
      const left = flatten(apply(live, nothing, 'bob').object);
      const kept = [...ownersOf(live)].filter(([, owners]) => owners.join() !== 'bob Apply');
      assert.deepEqual(
        [...left.keys()].sort(),
        kept.map(([path]) => path),
      );
    }),
  );
});

/**
 * The fields of the second set that the first lacks. Containers may be shared: their names are
 * equal by definition.
 */
function besides(first: Fields, { labels, replicas, selector, containers }: Fields): Fields {
  const others = <V extends object>(a: V, b: object): V =>
    Object.fromEntries(Object.entries(a).filter(([key]) => !Object.hasOwn(b, key))) as V;
  return {
    labels: others(labels, first.labels),
    ...(!first.replicas && replicas && { replicas }),
    ...(!first.selector && selector && { selector }),
    containers: containers.map(({ name, image, env }) => {
      const same = first.containers.find((c) => c.name === name);
      const own = { name, env: others(env, same?.env ?? {}) };
      return image && !same?.image ? { ...own, image } : own;
    }),
  };
}

test('managers of different fields never conflict', () => {
  fc.assert(
    fc.property(fields, fields, (first, second) => {
      const [mine, other] = [objectOf(first), objectOf(besides(first, second))];
      const live = apply(apply(null, mine, 'ann'), other, 'bob');
      const all = new Map([...flatten(mine), ...flatten(other)]);
      assert.deepEqual(sorted(flatten(live.object)), sorted(all));
    }),
  );
});

test('field sets survive encoding and decoding, and obey the laws of sets', () => {
  const set = fields.map((made): FieldSet => fieldSetOf(objectOf(made), schemaOf('Deployment')));
  fc.assert(
    fc.property(set, set, (a, b) => {
      assert.deepEqual(parseFieldSet(JSON.parse(JSON.stringify(a))), a);
      assert.ok(isSame(union(difference(a, b), intersection(a, b)), a));
      assert.ok(isSame(union(a, b), union(b, a)));
      assert.deepEqual(intersection(difference(a, b), b), {});
      const all = new Set([...paths(a), ...paths(b)]);
      assert.deepEqual(new Set(paths(union(a, b))), all);
    }),
  );
});
