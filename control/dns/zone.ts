// Objects with names, indexed for questions.
import { foldCase, joinLabels, type Name, parseName } from './name.ts';
import type { PodRow, ServiceRow, SliceRow } from './rows.ts';

/** Which `a-b-c-d.NAMESPACE.pod` names exist: any address, those of pods, or none. */
export const POD_MODES = ['insecure', 'verified', 'disabled'] as const;
export type PodMode = (typeof POD_MODES)[number];

export interface ZoneOptions {
  /** Such as cluster.local. */
  domain: string;
  pods: PodMode;
  /** Addresses of this server. Their Service gives the names of the name servers. */
  ownAddresses: Uint8Array[];
  /** Ms since 1970. */
  clock: () => number;
}

/** Rows by key, in a group for each value of an index. */
class Groups<R> {
  readonly #groups = new Map<string, Map<string, R>>();

  put(group: string, key: string, row: R): void {
    const rows = this.#groups.get(group) ?? new Map<string, R>();
    this.#groups.set(group, rows.set(key, row));
  }

  delete(group: string, key: string): void {
    const rows = this.#groups.get(group);
    rows?.delete(key);
    if (rows?.size === 0) this.#groups.delete(group);
  }

  of(group: string): R[] {
    return [...(this.#groups.get(group)?.values() ?? [])];
  }
}

export class Zone {
  /** In lower case. */
  readonly apex: Name;
  readonly pods: PodMode;
  readonly ownAddresses: Uint8Array[];
  /** Every kind of the zone has been listed once. */
  isSynced = false;
  /** When an object changed last, seconds since 1970. */
  serial: number;
  readonly #clock: () => number;
  readonly #namespaces = new Set<string>();
  readonly #services = new Map<string, ServiceRow>();
  readonly #servicesByAddress = new Groups<ServiceRow>();
  readonly #slices = new Groups<SliceRow>();
  readonly #slicesByAddress = new Groups<SliceRow>();
  readonly #pods = new Groups<PodRow>();

  constructor({ domain, pods, ownAddresses, clock }: ZoneOptions) {
    const apex = parseName(domain);
    if (apex === null) throw new Error(`${domain} is no domain`);
    this.apex = foldCase(apex);
    this.pods = pods;
    this.ownAddresses = ownAddresses;
    this.#clock = clock;
    this.serial = Math.floor(clock() / 1000);
  }

  /** A name below the zone. Names of objects are valid labels. */
  nameOf(...labels: string[]): Name {
    return joinLabels(labels, this.apex) ?? this.apex;
  }

  putNamespace(name: string): void {
    this.#namespaces.add(name);
    this.#touch();
  }

  deleteNamespace(name: string): void {
    this.#namespaces.delete(name);
    this.#touch();
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  putService(row: ServiceRow): void {
    this.#dropService(row.key);
    this.#services.set(row.key, row);
    for (const address of row.addresses) {
      this.#servicesByAddress.put(addressKey(address), row.key, row);
    }
    this.#touch();
  }

  deleteService(row: ServiceRow): void {
    this.#dropService(row.key);
    this.#touch();
  }

  #dropService(key: string): void {
    for (const address of this.#services.get(key)?.addresses ?? []) {
      this.#servicesByAddress.delete(addressKey(address), key);
    }
    this.#services.delete(key);
  }

  service(namespace: string, name: string): ServiceRow | undefined {
    return this.#services.get(`${namespace}/${name}`);
  }

  serviceAt(address: Uint8Array): ServiceRow | undefined {
    return this.#servicesByAddress.of(addressKey(address))[0];
  }

  putSlice(row: SliceRow, before: SliceRow | null): void {
    if (before) this.#dropSlice(before);
    this.#slices.put(row.service, row.key, row);
    for (const address of row.endpoints.flatMap(({ addresses }) => addresses)) {
      this.#slicesByAddress.put(addressKey(address), row.key, row);
    }
    this.#touch();
  }

  deleteSlice(row: SliceRow): void {
    this.#dropSlice(row);
    this.#touch();
  }

  #dropSlice(row: SliceRow): void {
    this.#slices.delete(row.service, row.key);
    for (const address of row.endpoints.flatMap(({ addresses }) => addresses)) {
      this.#slicesByAddress.delete(addressKey(address), row.key);
    }
  }

  slicesOf({ key }: ServiceRow): SliceRow[] {
    return this.#slices.of(key);
  }

  slicesWith(address: Uint8Array): SliceRow[] {
    return this.#slicesByAddress.of(addressKey(address));
  }

  putPod(key: string, row: PodRow, before: PodRow | null): void {
    if (before) this.#dropPod(key, before);
    for (const address of row.addresses) this.#pods.put(addressKey(address), key, row);
  }

  deletePod(key: string, row: PodRow): void {
    this.#dropPod(key, row);
  }

  #dropPod(key: string, row: PodRow): void {
    for (const address of row.addresses) this.#pods.delete(addressKey(address), key);
  }

  hasPod(namespace: string, address: Uint8Array): boolean {
    return this.#pods.of(addressKey(address)).some((pod) => pod.namespace === namespace);
  }

  #touch(): void {
    this.serial = Math.floor(this.#clock() / 1000);
  }
}

function addressKey(address: Uint8Array): string {
  return String.fromCharCode(...address);
}
