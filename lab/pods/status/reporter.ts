import type { Logger } from 'pino';
import type { WallClock } from '../../../control/clock.ts';
import type { KubeClient } from '../../../control/kube/client.ts';
import { isNotFound, KubeStatusError } from '../../../control/kube/error.ts';
import type { Pod } from '../../../control/kube/kinds.ts';

const RETRY_MS = 1000;

/**
 * Tells the API server of one pod: one write at a time, the last one wins, and nothing is said
 * twice.
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
   * Writes what `build` gives by then, if anything, and hands over the pod as it is after that.
   * Never rejects.
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

  /** Says that nothing is left of the pod: the object may go. Never rejects. */
  async remove(): Promise<void> {
    await this.#writing;
    const name = { namespace: this.#namespace, name: this.#name };
    await this.#kube.delete('Pod', name, { graceS: 0, uid: this.#uid }).catch((error: unknown) => {
      this.#onRefused(error);
    });
  }

  /** True if it may be taken later: the pod is still there, and no other one of its name. */
  #onRefused(error: unknown): boolean {
    if (isNotFound(error)) return false;
    const pod = `${this.#namespace}/${this.#name}`;
    this.#log.warn({ pod, why: String(error) }, 'the API server does not take the status');
    return !(error instanceof KubeStatusError && error.status === 409);
  }
}
