// Images stand for programs of this machine. Nothing is pulled.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { WaitReason } from '../given/env.ts';

/** A built-in image. */
interface Image {
  entrypoint: string[];
  /** Default arguments. */
  command: string[];
  /** Paths of the image's own programs. The last part of a path names a program of lab/apps. */
  own?: string[];
  /** Program that must be installed. */
  needs?: string;
}

/** Links to make in a container: path -> target, both in the container. */
type Links = Record<string, string>;

/** What a container runs. */
export interface Program {
  argv: string[];
  links: Links;
  /** The image is built in. */
  isKnown: boolean;
}

/** A container's reason to wait. */
interface Refusal {
  reason: 'ErrImagePull';
  message: string;
}

/** The cluster's DNS server. */
export const DNS_IMAGE = 'kubetun-dns';
/** The two containers of a pod of the Ingress controller. */
export const HAPROXY_IMAGE = 'kubetun-haproxy';
export const INGRESS_IMAGE = 'kubetun-ingress';

const NGINX = '/usr/sbin/nginx';
const IPERF3 = '/usr/bin/iperf3';
const HAPROXY = '/usr/sbin/haproxy';
/** The project, as root.sh shows it to containers. */
const RUN = '/run/image/lab/apps/run.sh';
/** Delay before a program that was missing is looked for again. */
const MISSING_RETRY_MS = 10_000;
/** Where an image of tools finds its programs: on this machine. */
const TOOLS: Image = { entrypoint: [], command: ['/bin/sh'] };
const AGNHOST = ['/agnhost', '/usr/local/bin/agnhost'];

function sample(name: string, ...args: string[]): Image {
  return { entrypoint: [`/${name}`, ...args], command: [], own: [`/${name}`] };
}

/** The machine's program if it is installed, else a stand-in. */
function nginx(port: string): Image {
  if (port === '80' && existsSync(NGINX)) {
    return { entrypoint: [NGINX], command: ['-g', 'daemon off;'] };
  }
  return { entrypoint: ['nginx', `--port=${port}`], command: [], own: ['/usr/local/sbin/nginx'] };
}

/** Images by the last part of their names. `version` is an image's tag without `v`. */
function builtIn(projectRoot: string, version: string): Record<string, Image> {
  const node = join(projectRoot, 'node_modules/node/bin/node');
  const dns = [
    ...[node, '--disable-warning=ExperimentalWarning'],
    join(projectRoot, 'control/dns/main.ts'),
  ];
  const ingress = (program: string) => [join(projectRoot, 'lab/apps/ingress', program)];
  const httpd = ['/usr/local/bin/httpd', '/usr/local/bin/httpd-foreground'];
  return {
    agnhost: { entrypoint: ['/agnhost'], command: ['pause'], own: AGNHOST },
    'echo-server': sample('echo'),
    echoserver: sample('echo'),
    hello: sample('hello-nginx'),
    'hello-app': sample('hello-app', `--version=${version || '1.0'}`),
    'hpa-example': sample('hpa-example'),
    'http-echo': sample('http-echo'),
    httpd: { entrypoint: ['httpd-foreground'], command: [], own: httpd },
    iperf3: { entrypoint: [IPERF3], command: ['-s'], needs: IPERF3 },
    [DNS_IMAGE]: { entrypoint: dns, command: [] },
    [HAPROXY_IMAGE]: { entrypoint: ingress('haproxy.sh'), command: [], needs: HAPROXY },
    [INGRESS_IMAGE]: { entrypoint: ingress('controller.sh'), command: [] },
    'kubernetes-bootcamp': sample('kubernetes-bootcamp', `--version=${version || '1'}`),
    nginx: nginx('80'),
    'nginx-slim': nginx('80'),
    'nginx-unprivileged': nginx('8080'),
    'node-hello': sample('node-hello'),
    pause: { entrypoint: ['/bin/sleep'], command: ['infinity'], own: ['/pause'] },
    serve_hostname: { entrypoint: ['/agnhost', 'serve-hostname'], command: [], own: AGNHOST },
    whoami: sample('whoami'),
    ...Object.fromEntries(
      ['alpine', 'bash', 'busybox', 'debian', 'dnsutils', 'fedora', 'jessie-dnsutils', 'netshoot']
        .concat('ubuntu')
        .map((name) => [name, TOOLS]),
    ),
    curl: { entrypoint: ['curl'], command: [] },
  };
}

/** Names that stand for an image as a part of another name. */
const FAMILIES = ['agnhost', 'iperf3', 'pause'];

/**
 * The command of a container. As upstream, `command` replaces the image's entrypoint and arguments,
 * and `args` replaces the arguments only. A container with a command may name any image.
 */
export function resolveProgram(
  container: { image?: string; command?: string[]; args?: string[] },
  projectRoot: string,
): Program | Refusal {
  const { image = '', command, args } = container;
  const { name, tag } = partsOf(image);
  const images = builtIn(projectRoot, tag.replace(/^v/, ''));
  const family = FAMILIES.find((key) => name.includes(key)) ?? '';
  const found = Object.hasOwn(images, name) ? images[name] : images[family];
  const links = linksOf(found?.own ?? []);
  if (command?.length) {
    return { argv: [...command, ...(args ?? [])], links, isKnown: found !== undefined };
  }
  if (!found) return { reason: 'ErrImagePull', message: unknownImage(image, Object.keys(images)) };
  if (found.needs && !existsSync(found.needs)) {
    return {
      reason: 'ErrImagePull',
      message: `image ${image} needs ${found.needs} on this machine`,
    };
  }
  const argv = [...found.entrypoint, ...(args?.length ? args : found.command)];
  return { argv, links, isKnown: true };
}

/** Why the Ingress controller of a lab does not start. Null if nothing is missing. */
export function missingHaproxy(): string | null {
  if (existsSync(HAPROXY)) return null;
  return `${HAPROXY} is not installed on this machine: apt-get install haproxy`;
}

function unknownImage(image: string, known: string[]): string {
  const next = `give the container a command of this machine, or use one of ${known.join(', ')}`;
  return `image ${image} is not built into the lab: ${next}`;
}

/**
 * Why a container does not start whose program does not exist.
 *
 * @param why the container runtime's text, such as `exec: "x": executable file not found in $PATH`.
 */
export function missingProgram(image: string, { isKnown }: Program, why: string): WaitReason {
  const own = "the lab runs this machine's programs: install it, or use a built-in image";
  return isKnown
    ? new WaitReason('CreateContainerError', `${why} (image ${image}): ${own}`, MISSING_RETRY_MS)
    : new WaitReason(
        'ErrImagePull',
        `image ${image} is not built into the lab, and ${why}: ${own}`,
        MISSING_RETRY_MS,
      );
}

function linksOf(own: string[]): Links {
  return Object.fromEntries(own.map((path) => [path, RUN]));
}

/** `registry.k8s.io/e2e-test-images/agnhost:2.39` -> `agnhost` and `2.39`. */
function partsOf(image: string): { name: string; tag: string } {
  const [name = '', tag = ''] = image.split('@')[0]!.split('/').at(-1)!.split(':');
  return { name, tag };
}
