// What the leading controller writes about Ingresses: their addresses, and problems as events.
import type { KubeClient } from '../../kube/client.ts';
import { recordWarning } from '../../kube/event.ts';
import type { KubeKinds, Service } from '../../kube/kinds.ts';
import { isEqual } from '../../kube/object.ts';
import type { Log } from '../../log.ts';
import type { Ingress, Plan } from '../model.ts';

export const COMPONENT = 'ingress-controller';

type Status = NonNullable<Ingress['status']>;
type Address = NonNullable<NonNullable<Status['loadBalancer']>['ingress']>[number];

export interface ReportOptions {
  kube: Pick<KubeClient, 'create' | 'patch'>;
  log: Log;
  ingress: (key: string) => Ingress | undefined;
}

export interface StatusChange {
  key: string;
  addresses: Address[];
}

/** Addresses that an Ingress gets from the Service in front of HAProxy. */
export function addressesOf(service: Service | undefined): Address[] {
  const { ingress = [] } = service?.status?.loadBalancer ?? {};
  return ingress.map(({ ip, hostname }) => ({ ...(ip && { ip }), ...(hostname && { hostname }) }));
}

/** Ingresses whose status lacks the addresses. */
export function statusChanges(
  served: readonly string[],
  addresses: Address[],
  ingress: (key: string) => Ingress | undefined,
): StatusChange[] {
  return served.flatMap((key) => {
    const object = ingress(key);
    if (!object) return [];
    const known = (object.status?.loadBalancer?.ingress ?? []) as Address[];
    return isEqual(known, addresses) ? [] : [{ key, addresses }];
  });
}

/** Writes one after the other. A failed write is repeated at the next report. */
export class Reporter {
  readonly #options: ReportOptions;
  /** Events of the problems that exist now. */
  #told = new Set<string>();
  #work: Promise<void> = Promise.resolve();

  constructor(options: ReportOptions) {
    this.#options = options;
  }

  report({ served, problems }: Plan, service: Service | undefined): Promise<void> {
    this.#work = this.#work.then(async () => {
      const changes = statusChanges(served, addressesOf(service), this.#options.ingress);
      for (const change of changes) await this.#writeStatus(change);
      const now = new Set<string>();
      for (const problem of problems) {
        const id = JSON.stringify([this.#uidOf(problem.ingress), problem]);
        if (this.#told.has(id) || (await this.#writeEvent(problem))) now.add(id);
      }
      this.#told = now;
    });
    return this.#work;
  }

  /** HAProxy refuses a configuration. The event is on the Service in front of it. */
  async reportRefusal(service: Service | undefined, why: string): Promise<void> {
    const { namespace, name } = service?.metadata ?? {};
    if (!service || !name) return;
    const key = `${namespace}/${name}`;
    const reason = 'ConfigurationRefused';
    const message = `HAProxy refuses the configuration and keeps the one before: ${why}`;
    await recordWarning(this.#options.kube, {
      ...{ kind: 'Service', key, object: service, reason, message, component: COMPONENT },
    });
  }

  #uidOf(key: string): string {
    return this.#options.ingress(key)?.metadata?.uid ?? '';
  }

  async #writeStatus({ key, addresses }: StatusChange): Promise<void> {
    const { kube, log } = this.#options;
    const [namespace, name] = key.split('/') as [string, string];
    const status = { loadBalancer: { ingress: addresses } };
    await kube
      .patch('Ingress', { namespace, name }, { status }, 'status')
      .catch((error: unknown) => log.warn({ key, why: String(error) }, 'status is not written'));
  }

  async #writeEvent({ ingress: key, reason, message }: Plan['problems'][number]) {
    const object: KubeKinds['Ingress'] | undefined = this.#options.ingress(key);
    if (!object) return false;
    const warning = { kind: 'Ingress' as const, key, object, reason, message };
    const why = await recordWarning(this.#options.kube, { ...warning, component: COMPONENT });
    if (why !== null) this.#options.log.warn({ key, reason, why }, 'event is not written');
    return why === null;
  }
}
