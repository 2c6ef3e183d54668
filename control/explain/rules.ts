// Says which rule of an Ingress serves a request, and why others do not.
import { type Match, matchesHost, matchesPath, requestHost } from '../ingress/match.ts';
import type { Plan, Route } from '../ingress/model.ts';
import { decodePath } from '../ingress/names.ts';
import { objectKey } from '../model/parse.ts';
import { closest } from './closest.ts';
import type { ClusterObjects } from './objects.ts';

export interface Url {
  scheme: 'http' | 'https';
  /** As in the Host header. */
  host: string;
  port: number;
  /** Path and query. */
  target: string;
}

/** A step without its node. */
export type Told = [stage: string, text: string];

/** Other rules are counted. */
const OTHERS_TOLD_MAX = 8;

export function tellMatch(found: Match, url: Url, plan: Plan, objects: ClusterObjects): Told[] {
  const told: Told[] = [];
  if (url.scheme === 'https') told.push(['certificate', certificateText(plan, url.host)]);
  const { route } = found;
  const host = requestHost(url.host);
  const path = decodePath(url.target.replace(/\?.*$/s, ''));
  if (route === null || host === null || path === null) return told;
  told.push(['rule', `${routeText(route)}${backendText(found)}`]);
  const others = plan.routes.filter((each) => each !== route && each.from !== null);
  const near = others.filter((each) => each.host === route.host || matchesHost(each, host));
  for (const each of near.slice(0, OTHERS_TOLD_MAX)) {
    told.push(['rule', `not ${routeText(each)}: ${whyNot(each, route, path)}`]);
  }
  const more = others.length - Math.min(near.length, OTHERS_TOLD_MAX);
  if (more > 0) told.push(['rule', `not ${more} others: ${restText(near.length, url)}`]);
  return [...told, ...tellAbsent(route, host, plan, objects), ...tellProblems(host, plan, objects)];
}

/** `NAMESPACE/NAME` of the Secret that serves a host; null for the default certificate. */
export function certificateOf({ certificates }: Plan, host: string): string | null {
  const name = requestHost(host) ?? '';
  const wild = name.replace(/^[^.]+/, '*');
  const of = (wanted: string) => certificates.find(({ hosts }) => hosts.includes(wanted));
  return (of(name) ?? of(wild) ?? certificates.find(({ isDefault }) => isDefault))?.secret ?? null;
}

function certificateText(plan: Plan, host: string): string {
  const secret = certificateOf(plan, host);
  return secret === null
    ? `the default one: no Ingress has a certificate for ${host}`
    : `Secret ${secret}, by the name ${host} in SNI`;
}

function routeText({ type, path, host, from }: Route): string {
  const what = `${type} ${path} of ${host === '*' ? 'any host' : `host ${host}`}`;
  if (from === null) return `${what}, which the controller adds`;
  const { ingress, rule, path: index } = from;
  const place = rule === null ? 'spec.defaultBackend' : `spec.rules[${rule}].http.paths[${index}]`;
  return `${what}, Ingress ${ingress} ${place}`;
}

function backendText({ backend, route }: Match): string {
  if (backend) return `: Service ${backend.service}, port ${backend.port}`;
  return route?.from ? ': its backend does not exist' : ': no backend';
}

/** @param path as of {@link decodePath}. */
function whyNot(other: Route, chosen: Route, path: string): string {
  if (other.host !== chosen.host) {
    const how = chosen.host.startsWith('*.') ? 'a wildcard host' : 'an exact host';
    return `${how} comes first, and hides this one for all paths`;
  }
  if (!matchesPath(other, path)) return `the path is ${path}`;
  return other.path === chosen.path ? 'Exact comes before Prefix' : `${chosen.path} is longer`;
}

function restText(near: number, { host }: Url): string {
  return near > OTHERS_TOLD_MAX ? `of this host and of others` : `of other hosts than ${host}`;
}

/** Hints for a host without a rule. */
function tellAbsent(route: Route, host: string, plan: Plan, objects: ClusterObjects): Told[] {
  if (route.host !== '*') return [];
  const told: Told[] = [];
  const served = new Set(plan.served);
  for (const { metadata, spec } of objects.ingresses) {
    const key = objectKey(metadata);
    if (served.has(key) || !spec?.rules?.some((rule) => rule.host === host)) continue;
    const name = metadata?.annotations?.['kubernetes.io/ingress.class'] ?? spec.ingressClassName;
    const why = name === undefined ? 'it has no class' : `its class is ${name}`;
    told.push(['rule', `not Ingress ${key}, which has this host: ${why}, so others serve it`]);
  }
  const hosts = [...new Set(plan.routes.map((each) => each.host))];
  const likely = told.length === 0 ? closest(host, hosts) : null;
  if (likely !== null) told.push(['rule', `no rule has host ${host}: did you mean ${likely}?`]);
  return told;
}

/** Problems of the Ingresses that name the host. */
function tellProblems(host: string, { problems }: Plan, { ingresses }: ClusterObjects): Told[] {
  const own = new Set(
    ingresses
      .filter(({ spec }) => spec?.rules?.some((rule) => (rule.host ?? host) === host))
      .map(({ metadata }) => objectKey(metadata)),
  );
  return problems
    .filter(({ ingress }) => own.has(ingress))
    .slice(0, OTHERS_TOLD_MAX)
    .map(({ ingress, message }) => ['problem', `Ingress ${ingress}: ${message}`]);
}
