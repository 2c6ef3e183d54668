// Variables that tell containers of Services: pkg/kubelet/envvars (SPEC 4).

/** What matters of a Service. */
export interface ServiceRow {
  namespace: string;
  name: string;
  clusterIP: string;
  ports: { name: string; port: number; protocol: string }[];
}

/**
 * More would not fit into the environment of a process (execve(2) takes 2 MiB, arguments included).
 */
const BYTES_MAX = 512 * 1024;

/**
 * The variables for a pod: of each Service of its namespace that has an address, if it wants links,
 * and of `kubernetes` in any case. `leftOut` when there were too many for a process, and only
 * `kubernetes` is there.
 */
export function serviceEnv(
  services: Iterable<ServiceRow>,
  namespace: string,
  links: boolean,
): { env: Record<string, string>; leftOut: boolean } {
  const env: Record<string, string> = {};
  const own: Record<string, string> = {};
  for (const service of services) {
    if (service.clusterIP === '' || service.clusterIP === 'None') continue;
    const isApi = service.namespace === 'default' && service.name === 'kubernetes';
    if (isApi) Object.assign(env, variablesOf(service));
    if (links && service.namespace === namespace) Object.assign(own, variablesOf(service));
  }
  const bytes = Object.entries(own).reduce((sum, [k, v]) => sum + k.length + v.length + 2, 0);
  const leftOut = bytes > BYTES_MAX;
  // One of the pod's own namespace called kubernetes is nearer.
  return { env: leftOut ? env : { ...env, ...own }, leftOut };
}

function variablesOf({ name, clusterIP, ports }: ServiceRow): Record<string, string> {
  const prefix = variable(name);
  const first = ports[0];
  const env: Record<string, string> = { [`${prefix}_SERVICE_HOST`]: clusterIP };
  if (!first) return env;
  env[`${prefix}_SERVICE_PORT`] = String(first.port);
  for (const port of ports) {
    if (port.name) env[`${prefix}_SERVICE_PORT_${variable(port.name)}`] = String(port.port);
  }
  const urlOf = (port: { port: number; protocol: string }) =>
    `${port.protocol.toLowerCase()}://${clusterIP}:${port.port}`;
  env[`${prefix}_PORT`] = urlOf(first);
  for (const port of ports) {
    const each = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`;
    env[each] = urlOf(port);
    env[`${each}_PROTO`] = port.protocol.toLowerCase();
    env[`${each}_PORT`] = String(port.port);
    env[`${each}_ADDR`] = clusterIP;
  }
  return env;
}

function variable(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
