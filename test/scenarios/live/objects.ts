// A scenario's objects in the API server of a lab.
import type { KubeClient } from '../../../control/kube/client.ts';
import type { EndpointSlice, Node, Service } from '../../../control/kube/kinds.ts';
import type { Scenario } from '../row.ts';

const ZONE = 'topology.kubernetes.io/zone';
/** Without a controller: the status comes from the file. */
const BY_HAND = 'kubetun.dev/by-hand';
/** A Service that is written last. A node that serves it knows all the others. */
const MARK = 'scenario-mark';

interface Written {
  kind: 'Service' | 'EndpointSlice';
  namespace: string;
  name: string;
}

/** A scenario's objects of one kind. */
export function objectsOf<T>({ objects }: Scenario, kind: string): T[] {
  return objects.filter((object) => object.kind === kind) as T[];
}

export class LiveObjects {
  readonly #kube: KubeClient;
  readonly #written: Written[] = [];

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  /**
   * Replaces the previous objects by a scenario's, with the Nodes' zones and addresses, and adds a
   * Service with the one endpoint `mark`. Returns that Service's address. Throws KubeStatusError if
   * the server refuses one.
   */
  async apply(scenario: Scenario, mark: string): Promise<string> {
    for (const { kind, ...name } of this.#written.splice(0)) await this.#kube.delete(kind, name);
    for (const node of objectsOf<Node>(scenario, 'Node')) await this.#patchNode(node);
    for (const service of objectsOf<Service>(scenario, 'Service')) await this.#service(service);
    for (const slice of objectsOf<EndpointSlice>(scenario, 'EndpointSlice')) {
      await this.#slice(slice);
    }
    await this.#slice({
      metadata: { name: MARK, labels: { 'kubernetes.io/service-name': MARK } },
      addressType: 'IPv4',
      ports: [{ port: 9, protocol: 'UDP' }],
      endpoints: [{ addresses: [mark] }],
    });
    const ports = [{ port: 9, protocol: 'UDP' }];
    const made = await this.#service({ metadata: { name: MARK }, spec: { ports } });
    return made.spec!.clusterIP!;
  }

  async #patchNode({ metadata, status }: Node): Promise<void> {
    const name = { name: metadata!.name! };
    const labels = { [ZONE]: null, ...metadata!.labels };
    await this.#kube.patch('Node', name, { metadata: { labels } });
    const { addresses } = status!;
    await this.#kube.patch('Node', name, { status: { addresses } }, 'status');
  }

  async #service({ metadata, spec, status }: Service): Promise<Service> {
    const balanced = spec!.type === 'LoadBalancer';
    const own = balanced ? { loadBalancerClass: BY_HAND, ...spec } : spec;
    const body = { metadata, spec: own } as Service;
    const made = await this.#kube.create('Service', body, { strict: true });
    const name = this.#remember('Service', metadata!);
    if (status) await this.#kube.patch('Service', name, { status }, 'status');
    return made;
  }

  async #slice(slice: EndpointSlice): Promise<void> {
    await this.#kube.create('EndpointSlice', slice, { strict: true });
    this.#remember('EndpointSlice', slice.metadata!);
  }

  #remember(
    kind: Written['kind'],
    { namespace = 'default', name }: { namespace?: string; name?: string },
  ) {
    const written = { namespace, name: name! };
    this.#written.push({ kind, ...written });
    return written;
  }
}
