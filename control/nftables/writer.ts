import type { ImageChange } from '../../datapath/image/image.ts';
import type { PolicySurvivors } from '../../datapath/image/policy-reader.ts';
import type { NftGeneration } from '../../datapath/io/netlink.ts';
import type { Log } from '../log.ts';
import type { Part } from '../node/reconcile.ts';
import type { ImageSink } from '../sync/publisher.ts';
import { applyNft, readClients, readReference, readTable } from './nft.ts';
import { diffTables, type ObservedTable } from './observed.ts';
import { Ruleset, TABLE } from './ruleset.ts';

/**
 * Publishes images as an nftables table of this network namespace. The first publish replaces the
 * table of an earlier agent. Later ones apply the difference. Each is one transaction.
 */
export class RulesetWriter implements ImageSink, Part {
  readonly #ruleset = new Ruleset();
  readonly #log: Log;
  #generation = 0;
  /** True before the first publish and after a failed one: the next writes the whole table. */
  #wholeDue = true;
  #warned = false;
  readonly #kernel: Pick<NftGeneration, 'read'>;
  /** Generation of nf_tables at which the table was last correct. Null: it must be compared. */
  #known: number | null = null;
  /** The correct table as nft lists it. Null: to be read. False: it cannot be read. */
  #reference: ObservedTable | false | null = null;

  constructor(kernel: Pick<NftGeneration, 'read'>, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** True if another process may have changed the table. Costs two system calls. */
  heard(): boolean {
    const number = this.#kernel.read();
    return !this.#wholeDue && number !== null && number !== this.#known;
  }

  /**
   * Differences of the table. Lists it only after a transaction of another process, because it may
   * be long.
   */
  missing(): string[] {
    const number = this.#kernel.read();
    if (this.#wholeDue || (number !== null && number === this.#known)) return [];
    const table = readTable();
    const missing = this.#ruleset.diff(table);
    if (table && missing.length === 0) missing.push(...this.#differences(table));
    if (missing.length === 0) this.#known = number;
    return missing;
  }

  /** Differences in content where the numbers of rules and elements are equal. */
  #differences(table: ObservedTable): string[] {
    if (this.#reference === null) {
      this.#reference = readReference(this.#ruleset.whole()) ?? false;
      const message = 'cannot detect changed nftables rules, only missing or additional ones';
      const next = 'allow the agent to make network namespaces (CAP_SYS_ADMIN)';
      if (this.#reference === false) this.#log.warn({ next }, message);
    }
    return this.#reference === false ? [] : diffTables(table, this.#reference);
  }

  /** Replaces the table if it differs. */
  mend(): void {
    if (this.missing().length > 0) this.#apply(this.#takeOver(), true);
  }

  get generation(): number {
    return this.#generation;
  }

  /** The kernel uses a table as soon as nft returns. */
  acknowledged(): number {
    return this.#generation;
  }

  /** No flow refers to an id: connections are in conntrack, by address. */
  flowsOf(): number {
    return 0;
  }

  services(): Map<number, { name: string }> {
    return new Map();
  }

  policySurvivors(): PolicySurvivors {
    return { generation: 0, pods: new Map(), names: new Map() };
  }

  /**
   * Throws KubetunError KT_NFT, KT_TOOL_MISSING. Then the last table stays, and the next publish
   * includes the change.
   */
  publish(change: ImageChange): number {
    this.#ruleset.take(change);
    this.#reference &&= null;
    if (change.policy?.active && !this.#warned) {
      this.#warned = true;
      this.#log.warn({}, 'NetworkPolicies are not enforced on this node: it runs --proxy nftables');
    }
    const isWhole = this.#wholeDue;
    const commands = isWhole ? this.#takeOver() : this.#ruleset.changes();
    this.#wholeDue = true;
    if (commands.length > 0) this.#apply(commands, isWhole);
    this.#wholeDue = false;
    return ++this.#generation;
  }

  #apply(commands: string[], isWhole: boolean): void {
    const before = this.#kernel.read();
    applyNft(commands);
    const after = this.#kernel.read();
    const isAlone = before !== null && after === before + 1;
    // A whole table undoes earlier changes of other processes. A part of it does not.
    this.#known = isAlone && (isWhole || before === this.#known) ? after : null;
  }

  /** The whole table, with the clients of session affinity from the previous one. */
  #takeOver(): string[] {
    const commands = this.#ruleset.whole();
    const sets = new Set(
      commands.filter((c) => c.startsWith('add set ')).map((c) => c.split(' ')[4]),
    );
    const clients = readClients().filter(({ set }) => sets.has(set));
    return [
      ...commands,
      ...clients.map(({ set, element }) => `add element ${TABLE} ${set} { ${element} }`),
    ];
  }
}
