// The address that this node is steered with, held against the one that the cluster gives it. A
// packet that is masqueraded with an address that the node does not have finds no way back, so that
// the steered address stays in force. The Node says so in an annotation, which every reader of
// Nodes puts first: other nodes, and the gateway's pairs.

import type { MonotonicClock } from '../clock.ts';
import type { KubeClient } from '../kube/client.ts';
import { recordWarning } from '../kube/skip-event.ts';
import type { Log } from '../log.ts';
import { ANNOTATION_STEERED } from '../model/node.ts';

/** An annotation that could not be written is tried again so soon. */
const RETRY_MS = 5000;

export interface OwnAddressOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  node: string;
  /** The address that the node is steered with. */
  steered: string;
  clock: MonotonicClock;
  log: Log;
}

export class OwnAddress {
  readonly #options: OwnAddressOptions;
  /** The first InternalIP of the Node; null for none. */
  #internal: string | null;
  /** The annotation, as far as it is known; null for none. */
  #published: string | null = null;
  #isWriting = false;
  #isStopped = false;
  #isFailing = false;
  #cancel = () => {};

  constructor(options: OwnAddressOptions) {
    this.#options = options;
    this.#internal = options.steered;
  }

  /** What `/status` shows. */
  report(): { steered: string; internalIP: string | null } {
    return { steered: this.#options.steered, internalIP: this.#internal };
  }

  /** What the Node says now: its first InternalIP, and the annotation. */
  take(internal: string | null, published: string | null): void {
    const before = this.#internal;
    this.#internal = internal;
    this.#published = published;
    if (internal !== before) this.#show();
    void this.#publish();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  /** What the annotation should be. */
  get #wanted(): string | null {
    const { steered } = this.#options;
    return this.#internal === steered ? null : steered;
  }

  #show(): void {
    const { client, node, steered, log } = this.#options;
    if (this.#wanted === null) {
      log.info({ steered }, 'the Node object names the InternalIP that is steered');
      return;
    }
    const named = this.#internal === null ? 'no InternalIP' : `the InternalIP ${this.#internal}`;
    const next = 'correct the Node, or give the machine that address and restart the agent';
    const message = `the Node names ${named}, and its agent steers ${steered}: ${next}`;
    log.warn({ node: this.#internal, steered, next }, `the Node names ${named}`);
    void recordWarning(client, {
      ...{ kind: 'Node', key: node, reason: 'NodeAddressDiffers', message, component: 'kubetun' },
    }).then((why) => {
      if (why !== null) log.warn({ why }, 'no event says that the address of the node differs');
    });
  }

  async #publish(): Promise<void> {
    const { client, node, clock, log } = this.#options;
    if (this.#isWriting || this.#isStopped) return;
    this.#isWriting = true;
    this.#cancel();
    try {
      while (this.#wanted !== this.#published && !this.#isStopped) {
        const wanted = this.#wanted;
        const annotations = { [ANNOTATION_STEERED]: wanted };
        await client.patch('Node', { name: node }, { metadata: { annotations } });
        this.#published = wanted;
      }
      this.#isFailing = false;
    } catch (error) {
      const message = 'the Node does not say which address its agent steers';
      if (!this.#isFailing) log.warn({ why: String(error) }, message);
      this.#isFailing = true;
      if (!this.#isStopped) this.#cancel = clock.after(RETRY_MS, () => void this.#publish());
    }
    this.#isWriting = false;
  }
}
