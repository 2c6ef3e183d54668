// Reads the destination of a question. What it refuses, it names with the form that works.

import { KubetunError } from '../../datapath/error.ts';
import { parseAddress } from '../../datapath/wire/address.ts';
import { PROTO_BY_NAME, PROTO_ICMP, protoName } from '../../datapath/wire/ipv4.ts';
import type { Service } from '../kube/kinds.ts';
import { objectKey } from '../model/parse.ts';
import type { ServicePortRow } from '../model/rows.ts';
import { closest } from './closest.ts';
import { noClusterIP, noKind, othersText } from './missing.ts';
import type { ClusterView } from './view.ts';

/** A destination with a name that the pod has to resolve. */
export interface NameTarget {
  name: string;
  /** `:PORT`, `:PORT/PROTO` or `/icmp`. */
  rest: string;
}

export interface Target {
  address: number;
  /** 0 for ICMP. */
  port: number;
  proto: number;
}

const PORT_MAX = 65_535;
const PORT_BY_SCHEME = new Map([
  ['http', 80],
  ['https', 443],
]);
const FORMS =
  'give ADDRESS:PORT, ADDRESS:PORT/udp (or sctp), ADDRESS/icmp, svc/[NS/]NAME[:PORT], or a ' +
  'DNS name with a port, such as web.default:80';

/**
 * Null for an address, and for text that is not a destination. Throws KubetunError KT_EXPLAIN for
 * a port or protocol that does not exist.
 */
export function readNameTarget(to: string): NameTarget | null {
  const match = /^((?:[\w-]+\.)*[\w-]+\.?)((?::\d+(?:\/\w+)?)|\/icmp)$/.exec(to);
  // A host of digits and dots is an address.
  if (!match || !/[^\d.]/.test(match[1]!)) return null;
  checkEnd(to, match[2]!);
  return { name: match[1]!, rest: match[2]! };
}

/** @param own the namespace of the source, for names that are nearly right. */
export function readTarget(text: string, view: ClusterView, own: string): Target {
  const service = /^(?:svc|services?)\/([^:]+)(?::(.+))?$/.exec(text);
  if (service) return readService(keyOf(service[1]!), service[2], view);
  const match = /^([\d.]+)(?::(\d+))?(?:\/(\w+))?$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  const proto = PROTO_BY_NAME.get((match?.[3] ?? 'tcp').toLowerCase());
  const port = Number(match?.[2] ?? 0);
  if (address !== null && match?.[2] !== undefined) checkEnd(text, text.slice(match[1]!.length));
  if (address !== null && proto !== undefined && port > 0 === (proto !== PROTO_ICMP)) {
    return { address, port, proto };
  }
  const [why, next] = nearForm(text, own, view) ?? ['', FORMS];
  throw refuse(`--to ${JSON.stringify(text)} is not a destination${why}`, next);
}

/** @param end `:PORT` or `:PORT/PROTO`. */
function checkEnd(to: string, end: string): void {
  const [, port, proto = 'tcp'] = /^:(\d+)(?:\/(\w+))?$/.exec(end) ?? [];
  if (port === undefined) return;
  const quoted = `--to ${JSON.stringify(to)}`;
  if (Number(port) < 1 || Number(port) > PORT_MAX) {
    throw refuse(`${quoted} is not a destination: it has the port ${port}`, `use 1 to ${PORT_MAX}`);
  }
  const known = PROTO_BY_NAME.get(proto.toLowerCase());
  if (known !== undefined && known !== PROTO_ICMP) return;
  const why = `it has the protocol ${proto} with a port`;
  throw refuse(`${quoted} is not a destination: ${why}`, 'use tcp, udp, sctp, or NAME/icmp');
}

/** What is wrong with a form that is nearly right, and the right one. */
function nearForm(
  text: string,
  own: string,
  view: ClusterView,
): [why: string, next: string] | null {
  const [, scheme, host, port] = /^(\w+):\/\/([\w.-]+)(?::(\d+))?(?:[/?#].*)?$/.exec(text) ?? [];
  if (host !== undefined) {
    const usual = port ?? PORT_BY_SCHEME.get(scheme!.toLowerCase());
    const next = usual === undefined ? portHint(host, own, view) : `did you mean ${host}:${usual}?`;
    return [': it is a URL', next];
  }
  if (/^(?:[\w-]+\.)*[\w-]+\.?$/.test(text)) return [': it has no port', portHint(text, own, view)];
  const [, name, label] = /^((?:[\w-]+\.)*[\w-]+\.?):([a-z][\w-]*)$/i.exec(text) ?? [];
  if (name === undefined) return null;
  const service = serviceAt(name, own, view);
  const form = service && `svc/${shortKey(service)}:${label}`;
  const next = form ? `${form} takes the name of a port` : `give ${name}:PORT with a number`;
  return [`: the port of a name or address is a number, and ${label} is none`, next];
}

function portHint(host: string, own: string, view: ClusterView): string {
  const address = parseAddress(host);
  const service = address === null ? serviceAt(host, own, view) : undefined;
  const rows = [...view.services.values()];
  const isOwn = (row: (typeof rows)[number]) =>
    address !== null && row.clusterAddresses.includes(address);
  const ports = service?.spec?.ports ?? rows.find(isOwn)?.ports ?? [];
  const numbers = ports.map((each) => ('number' in each ? each.number : each.port));
  const ends = [...new Set(numbers)].map((number) => `${host}:${number}`);
  return ends.length > 0 ? `did you mean ${ends.join(' or ')}?` : `add a port, such as ${host}:80`;
}

/** The Service that a name of one or two labels means, with or without the cluster's domain. */
function serviceAt(host: string, own: string, view: ClusterView): Service | undefined {
  const bare = host.toLowerCase().replace(/\.$/, '');
  const labels = bare.replace(/\.svc(?:\.cluster\.local)?$/, '').split('.');
  const [name, namespace = own] = labels;
  return labels.length > 2 ? undefined : view.serviceObjects.get(`${namespace}/${name}`);
}

function readService(key: string, wanted: string | undefined, view: ClusterView): Target {
  const row = view.services.get(key);
  const object = view.serviceObjects.get(key);
  if (!row || !object) throw refuse(...noService(key, view));
  const [number, protocol] = wanted?.split('/') ?? [];
  const isWanted = (port: ServicePortRow) =>
    (port.name === number || String(port.number) === number) &&
    (protocol === undefined || protoName(port.proto) === protocol.toLowerCase());
  const ports = row.ports.filter((port) => wanted === undefined || isWanted(port));
  const address = row.clusterAddresses[0];
  if (address === undefined || row.ports.length === 0) {
    throw refuse(...noCapture(object, number, view));
  }
  if (ports.length === 1 || (ports.length > 1 && wanted)) {
    return { address, port: ports[0]!.number, proto: ports[0]!.proto };
  }
  const texts = row.ports.map((port) => `${port.name} ${port.number}`.trim()).join(', ');
  const next = `choose one, such as svc/${key}:${row.ports[0]!.number}`;
  if (wanted === undefined) throw refuse(`service ${key} has the ports ${texts}`, next);
  const hasOne = row.ports.length === 1;
  const known = hasOne ? `its port is ${texts}` : `its ports are ${texts}`;
  const only = `give svc/${key}:${row.ports[0]!.number}`;
  throw refuse(`service ${key} has no port ${wanted}: ${known}`, hasOne ? only : next);
}

function noService(key: string, view: ClusterView): [message: string, next: string] {
  const [namespace, name = ''] = key.split('/');
  const keys = [...view.services.keys()];
  const own = keys.filter((each) => each.startsWith(`${namespace}/`));
  const likely = closest(
    name,
    own.map((each) => each.split('/')[1]!),
  );
  const absent = `there is no service ${key}`;
  if (likely !== null) return [absent, `did you mean svc/${namespace}/${likely}?`];
  if (view.objects.lab !== null) return [absent, 'kubectl get services -A lists them'];
  const others = othersText(own.length > 0 ? own : keys, view.objects);
  return noKind('Service', view.objects) ?? [absent, others];
}

/** Why a Service has no address and port that the datapath captures. */
function noCapture(
  { metadata, spec = {} }: Service,
  wanted: string | undefined,
  view: ClusterView,
): [message: string, next: string] {
  const key = objectKey(metadata);
  const named = spec.ports?.find(({ name }) => name === wanted) ?? spec.ports?.[0];
  const port = /^\d+$/.test(wanted ?? '') ? wanted : (named?.port ?? 'PORT');
  const byName = `name it by DNS: --to ${metadata?.name}.${key.split('/')[0]}:${port}`;
  if (spec.type === 'ExternalName') {
    const why = `is of type ExternalName, an alias of ${spec.externalName}: it has no address`;
    return [`service ${key} ${why}`, byName];
  }
  if (spec.clusterIP === 'None') {
    return [
      `service ${key} is headless: it has no address, its DNS name has those of pods`,
      byName,
    ];
  }
  if (!spec.clusterIP) return noClusterIP(key, view.objects);
  if (parseAddress(spec.clusterIP) === null && !spec.clusterIPs?.some((ip) => ip.includes('.'))) {
    return [`service ${key} has no IPv4 address: spec.clusterIP is ${spec.clusterIP}`, FORMS];
  }
  if (!spec.ports?.length) return [`service ${key} has no port`, 'add one to its spec.ports'];
  const why = 'its labels give it to another proxy, or its ports have no protocol known here';
  return [`service ${key} is not captured: ${why}`, 'give the ADDRESS:PORT of a pod'];
}

function shortKey({ metadata }: Service): string {
  return objectKey(metadata).replace(/^default\//, '');
}

export function keyOf(text: string): string {
  return text.includes('/') ? text : `default/${text}`;
}

export function refuse(message: string, next: string): KubetunError {
  return new KubetunError('KT_EXPLAIN', message, next, { usage: true });
}
