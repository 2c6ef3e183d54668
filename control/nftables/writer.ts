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
 * Puts images in force as an nftables table of this network namespace. The first publish replaces
 * the table that is there, of whatever agent; later ones say what differs. Each is one transaction.
 */
export class RulesetWriter implements ImageSink, Part {
  readonly #ruleset = new Ruleset();
  readonly #log: Log;
  #generation = 0;
  /** No table is in force, or its content is unknown. */
  #wholeDue = true;
  #warned = false;
  readonly #kernel: Pick<NftGeneration, 'read'>;
  /**
   * The kernel's number when the table was last known to be as it was said; null if that has to be
   * found out.
   */
  #known: number | null = null;
  /**
   * What the table holds if all is well; null if the kernel must be asked, false if it cannot be
   * asked.
   */
  #reference: ObservedTable | false | null = null;

  constructor(kernel: Pick<NftGeneration, 'read'>, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** True if a transaction of others may have changed the table. Costs two system calls. */
  heard(): boolean {
    const number = this.#kernel.read();
    return !this.#wholeDue && number !== null && number !== this.#known;
  }

  /**
   * Differences of the table. Lists it only after a foreign transaction, because it may be long.
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

  /** How contents differ where numbers do not. */
  #differences(table: ObservedTable): string[] {
    if (this.#reference === null) {
      this.#reference = readReference(this.#ruleset.whole()) ?? false;
      const message = 'changes of the table that leave the number of its rules are not seen';
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

  /** The kernel has a table from the moment that nft says so. */
  acknowledged(): number {
    return this.#generation;
  }

  /** Nothing outside the table names an id. */
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
   * Throws KubetunError KT_NFT, KT_TOOL_MISSING: then the last table stays, and the change takes
   * part in the next.
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
    // The whole makes good what others have done before; a part of it does not.
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
