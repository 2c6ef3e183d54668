import type { ImageChange } from '../../datapath/nat/image.ts';
import type { PolicySurvivors } from '../../datapath/policy/policy-reader.ts';
import type { ImageSink, Log } from '../agent/publisher.ts';
import { applyNft, readClients } from './nft.ts';
import { Ruleset, TABLE } from './ruleset.ts';

/**
 * Puts images in force as an nftables table of this network namespace. The first publish replaces the table that is
 * there, of whatever agent; later ones say what differs. Each is one transaction.
 */
export class RulesetWriter implements ImageSink {
  readonly #ruleset = new Ruleset();
  readonly #log: Log;
  #generation = 0;
  /** Nothing is in force yet, or it is not known what is. */
  #wholeDue = true;
  #warned = false;

  constructor(log: Log) {
    this.#log = log;
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

  /** Throws KubetunError KT_NFT, KT_TOOL_MISSING: then the last table stays, and the change takes part in the next. */
  publish(change: ImageChange): number {
    this.#ruleset.take(change);
    if (change.policy?.active && !this.#warned) {
      this.#warned = true;
      this.#log.warn({}, 'NetworkPolicies are not enforced on this node: it runs --proxy nftables');
    }
    const commands = this.#wholeDue ? this.#takeOver() : this.#ruleset.changes();
    this.#wholeDue = true;
    if (commands.length > 0) applyNft(commands);
    this.#wholeDue = false;
    return ++this.#generation;
  }

  /** The whole table, with the clients that the one before it remembers. */
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
