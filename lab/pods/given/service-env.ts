// Environment variables for Services. Source: pkg/kubelet/envvars.

/** The fields of a Service that its variables are made from. */
export interface ServiceRow {
  namespace: string;
  name: string;
  clusterIP: string;
  ports: { name: string; port: number; protocol: string }[];
}

/** Most bytes of variables: execve(2) takes 2 MiB, arguments included. */
const BYTES_MAX = 512 * 1024;

/**
 * The Service variables of a pod: those of `kubernetes`, and with `links` those of every Service in
 * its namespace that has an address. `leftOut` is true if there are too many. Then only those of
 * `kubernetes` are returned.
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
  // A Service `kubernetes` in the pod's own namespace wins.
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
