// Compares the address that this node steers with the InternalIP of its Node object. Replies to an
// address that the machine does not have would be lost, so the steered address stays in force. An
// annotation of the Node names it, and every reader of Nodes prefers that: other nodes, and the
// gateway.

import type { MonotonicClock } from '../clock.ts';
import type { KubeClient } from '../kube/client.ts';
import { recordWarning } from '../kube/event.ts';
import type { Log } from '../log.ts';
import { ANNOTATION_STEERED } from '../model/node.ts';

/** Retry interval of the annotation. */
const RETRY_MS = 5000;

export interface OwnAddressOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  node: string;
  /** The address that the node steers. */
  steered: string;
  clock: MonotonicClock;
  log: Log;
}

export class OwnAddress {
  readonly #options: OwnAddressOptions;
  /** The first InternalIP of the Node; null for none. */
  #internal: string | null;
  /** Last known value of the annotation; null for none. */
  #published: string | null = null;
  #isWriting = false;
  #isStopped = false;
  #isFailing = false;
  #cancel = () => {};

  constructor(options: OwnAddressOptions) {
    this.#options = options;
    this.#internal = options.steered;
  }

  /** Part of `/status`. */
  report(): { steered: string; internalIP: string | null } {
    return { steered: this.#options.steered, internalIP: this.#internal };
  }

  /** Takes the Node's first InternalIP and its annotation. */
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

  /** Wanted value of the annotation. */
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
    const warning = { kind: 'Node', key: node, reason: 'NodeAddressDiffers', message } as const;
    void recordWarning(client, { ...warning, component: 'kubetun' }).then((why) => {
      if (why !== null)
        log.warn({ why }, 'the Event about the different node address was not written');
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
      const message = 'the annotation with the steered address was not written';
      if (!this.#isFailing) log.warn({ why: String(error) }, message);
      this.#isFailing = true;
      if (!this.#isStopped) this.#cancel = clock.after(RETRY_MS, () => void this.#publish());
    }
    this.#isWriting = false;
  }
}
