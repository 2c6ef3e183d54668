import type { Logger } from 'pino';
import type { WallClock } from '../../../control/clock.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import { isNotFound, KubeStatusError } from '../../../control/kube/error.ts';
import type { Pod } from '../../../control/kube/kinds.ts';

const RETRY_MS = 1000;

/**
 * Writes the status of one pod to the API server. One write at a time, the newest state wins, and
 * an unchanged status is not written.
 */
export class StatusReporter {
  readonly #kube: KubeClient;
  readonly #log: Logger;
  readonly #clock: WallClock;
  readonly #namespace: string;
  readonly #name: string;
  readonly #uid: string;
  #reported = '';
  #writing: Promise<void> = Promise.resolve();

  constructor(kube: KubeClient, log: Logger, clock: WallClock, { metadata }: Pod) {
    this.#kube = kube;
    this.#log = log;
    this.#clock = clock;
    this.#namespace = metadata!.namespace!;
    this.#name = metadata!.name!;
    this.#uid = metadata!.uid!;
  }

  /**
   * Calls `build` after earlier writes have ended, and writes the status that it returns. Writes
   * nothing if it is null or unchanged. Passes the updated pod to `onWritten`. Never rejects.
   */
  report(build: () => object | null, onWritten: (pod: Pod) => void): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const status = build();
      const text = JSON.stringify(status);
      if (!status || text === this.#reported) return;
      this.#reported = text;
      const patch = { metadata: { uid: this.#uid }, status };
      await this.#kube
        .patch('Pod', { namespace: this.#namespace, name: this.#name }, patch, 'status')
        .then(onWritten, (error: unknown) => {
          this.#reported = '';
          if (!this.#onRefused(error)) return;
          this.#clock.after(RETRY_MS, () => void this.report(build, onWritten));
        });
    });
    return this.#writing;
  }

  /** Deletes the pod's object, because nothing is left of the pod. Never rejects. */
  async remove(): Promise<void> {
    await this.#writing;
    const name = { namespace: this.#namespace, name: this.#name };
    await this.#kube.delete('Pod', name, { graceS: 0, uid: this.#uid }).catch((error: unknown) => {
      this.#onRefused(error);
    });
  }

  /** True if a retry makes sense: the pod still exists, and no other pod has its name. */
  #onRefused(error: unknown): boolean {
    if (isNotFound(error)) return false;
    const pod = `${this.#namespace}/${this.#name}`;
    this.#log.warn({ pod, why: String(error) }, 'the API server refuses the status');
    return !(error instanceof KubeStatusError && error.status === 409);
  }
}
