// Resolves the target of `lab forward`: an address, and the namespace to dial it from.
import type { KubeClient } from '../../control/kube/client.ts';
import { isNotFound } from '../../control/kube/error.ts';
import { KubetunError } from '../../datapath/error.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import type { LabRecord } from '../state/record.ts';
import { splitPod } from './target.ts';

export interface Dial {
  address: string;
  port: number;
  /** The node from whose network namespace to dial. */
  node: string;
}

/**
 * Resolves `svc/NAME[.NS][:PORT]`, `[NS/]POD:PORT` or `ADDR:PORT`. A Service port is a number or a
 * name. The default is the first TCP port. Throws KubetunError KT_TARGET.
 */
export async function resolveDial(
  record: LabRecord,
  kube: KubeClient,
  target: string,
): Promise<Dial> {
  const service = /^(?:svc|services?)\/([^.:]+)(?:\.([^.:]+))?(?::(.+))?$/.exec(target);
  if (service) {
    return dialService(record, kube, service[1]!, service[2] ?? 'default', service[3]);
  }
  const { host, port } = splitPort(target);
  const node = record.topology.nodes[0]!.name;
  if (parseAddress(host) !== null) return { address: host, port, node };
  const [namespace, name] = splitPod(host);
  const pod = await find(kube, 'Pod', namespace, name);
  const address = pod.status?.podIP;
  if (!address)
    throw targetError(`pod ${namespace}/${name} has no address yet`, 'try again when the pod runs');
  return { address, port, node: pod.spec?.nodeName ?? node };
}

async function dialService(
  record: LabRecord,
  kube: KubeClient,
  name: string,
  namespace: string,
  port: string | undefined,
): Promise<Dial> {
  const service = await find(kube, 'Service', namespace, name);
  const address = service.spec?.clusterIP;
  if (!address || address === 'None') {
    throw targetError(`service ${namespace}/${name} has no ClusterIP`, 'name one of its pods');
  }
  const ports = service.spec?.ports ?? [];
  const tcp = ports.filter((p) => (p.protocol ?? 'TCP') === 'TCP');
  const found =
    port === undefined ? tcp[0] : tcp.find((p) => p.name === port || String(p.port) === port);
  if (!found) {
    const known = tcp.map((p) => (p.name ? `${p.name} (${p.port})` : p.port)).join(', ');
    throw targetError(
      `service ${namespace}/${name} has no TCP port${port === undefined ? '' : ` ${port}`}`,
      known ? `it has ${known}` : '',
    );
  }
  return { address, port: found.port, node: record.topology.nodes[0]!.name };
}

async function find<K extends 'Pod' | 'Service'>(
  kube: KubeClient,
  kind: K,
  namespace: string,
  name: string,
) {
  try {
    return await kube.get(kind, { namespace, name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw targetError(
      `there is no ${kind.toLowerCase()} ${namespace}/${name}`,
      `kubectl get ${kind.toLowerCase()}s -A lists them`,
    );
  }
}

function splitPort(target: string): { host: string; port: number } {
  const colon = target.lastIndexOf(':');
  const port = Number(target.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw targetError(`${target} has no port`, 'give svc/NAME[:PORT], POD:PORT or ADDR:PORT', true);
  }
  return { host: target.slice(0, colon), port };
}

function targetError(message: string, next: string, usage = false): KubetunError {
  return new KubetunError('KT_TARGET', message, next, { usage });
}
