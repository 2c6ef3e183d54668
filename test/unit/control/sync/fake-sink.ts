import type { Log } from '../../../../control/log.ts';
import type { ImageSink } from '../../../../control/sync/publisher.ts';
import type { KubetunError } from '../../../../datapath/error.ts';
import type { ImageChange } from '../../../../datapath/image/image.ts';
import type { PolicySurvivors } from '../../../../datapath/image/policy-reader.ts';
import type { PolicyChange } from '../../../../datapath/policy/policy.ts';
import { Mirror } from '../compile/mirror.ts';

/**
 * A datapath that uses each image at once. Like the real writer it keeps the change of a failed
 * publish.
 */
export class FakeSink implements ImageSink {
  readonly mirror = new Mirror();
  readonly survivors = new Map<number, { name: string }>();
  readonly failures: KubetunError[] = [];
  readonly policies: PolicyChange[] = [];
  publishes = 0;
  generation = 0;

  publish(change: ImageChange): number {
    this.publishes++;
    this.mirror.apply(change);
    if (change.policy) this.policies.push(change.policy);
    const failure = this.failures.shift();
    if (failure) throw failure;
    return ++this.generation;
  }

  acknowledged(): number {
    return this.generation;
  }

  flowsOf(): number {
    return 0;
  }

  services(): Map<number, { name: string }> {
    return this.survivors;
  }

  policySurvivors(): PolicySurvivors {
    return { generation: 0, pods: new Map(), names: new Map() };
  }
}

/** Records log lines as `level message`. */
export function fakeLog(): Log & { lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (_particulars: object, message: string) => {
    lines.push(`${level} ${message}`);
  };
  return { lines, info: at('info'), warn: at('warn'), error: at('error') };
}
