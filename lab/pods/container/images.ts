// Images stand for programs of this machine. Nothing is pulled.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** A built-in image. */
interface Image {
  entrypoint: string[];
  /** Default arguments. */
  command: string[];
  /** Program that must be installed. */
  needs?: string;
}

/** The command of a container, or the reason why there is none. */
export type Program =
  | { argv: string[] }
  | { reason: 'ErrImagePull' | 'CreateContainerConfigError'; message: string };

/** The cluster's DNS server. */
export const DNS_IMAGE = 'kubetun-dns';

const NGINX = '/usr/sbin/nginx';
const IPERF3 = '/usr/bin/iperf3';

function builtIn(projectRoot: string): Record<string, Image> {
  const node = join(projectRoot, 'node_modules/node/bin/node');
  const program = (path: string) => [
    node,
    '--disable-warning=ExperimentalWarning',
    join(projectRoot, path),
  ];
  return {
    agnhost: { entrypoint: program('lab/apps/netexec.ts'), command: ['pause'] },
    iperf3: { entrypoint: [IPERF3], command: ['-s'], needs: IPERF3 },
    [DNS_IMAGE]: { entrypoint: program('control/dns/main.ts'), command: [] },
    nginx: { entrypoint: [NGINX], command: ['-g', 'daemon off;'], needs: NGINX },
    pause: { entrypoint: ['/bin/sleep'], command: ['infinity'] },
  };
}

/**
 * The command of a container. As upstream, `command` replaces the image's entrypoint and arguments,
 * and `args` replaces the arguments only.
 */
export function resolveProgram(
  container: { image?: string; command?: string[]; args?: string[] },
  projectRoot: string,
): Program {
  const { image = '', command, args } = container;
  if (command?.length) return { argv: [...command, ...(args ?? [])] };
  const images = builtIn(projectRoot);
  const name = baseName(image);
  const found = images[name] ?? Object.entries(images).find(([key]) => name.includes(key))?.[1];
  // Unknown images are assumed to have no entrypoint, as busybox, alpine and debian.
  if (!found && args?.length) return { argv: [...args] };
  if (!found) {
    const known = Object.keys(images).join(', ');
    const next = `give the container a command of this machine, or use one of ${known}`;
    return { reason: 'ErrImagePull', message: `image ${image} is not built into the lab: ${next}` };
  }
  if (found.needs && !existsSync(found.needs)) {
    return {
      reason: 'ErrImagePull',
      message: `image ${image} needs ${found.needs} on this machine`,
    };
  }
  return { argv: [...found.entrypoint, ...(args?.length ? args : found.command)] };
}

/** `registry.k8s.io/e2e-test-images/agnhost:2.39` -> `agnhost`. */
function baseName(image: string): string {
  return image.split('@')[0]!.split('/').at(-1)!.split(':')[0]!;
}
