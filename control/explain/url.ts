// A URL: which Ingress serves it, and the way of its packets through HAProxy.
import { KubetunError } from '../../datapath/error.ts';
import type { Tuple } from '../../datapath/observe/packet.ts';
import { formatAddress, parseRange } from '../../datapath/wire/address.ts';
import { compileIngress } from '../ingress/compile.ts';
import { type Match, matchesHost, matchRequest, requestHost } from '../ingress/match.ts';
import type { Backend, Plan } from '../ingress/model.ts';
import type { Explanation, IngressMatch, Step } from './explanation.ts';
import type { Followed } from './follow.ts';
import type { ClusterObjects } from './objects.ts';
import { isOutside, type QuestionText } from './question.ts';
import { certificateOf, type Told, tellMatch, type Url } from './rules.ts';
import type { ClusterView } from './view.ts';

/** The Service of HAProxy in a lab. */
const ENTRY = 'ingress/haproxy';
const PORTS = { http: 80, https: 443 };
const REASONS: Record<number, string> = {
  400: 'ingress-bad-request',
  403: 'ingress-not-allowed',
  404: 'ingress-no-rule',
  503: 'ingress-no-endpoint',
};

export type FollowPacket = (text: QuestionText) => Followed;

/** Null for text that is not a URL. */
export function readUrl(text: string): Url | null {
  const match = /^(https?):\/\/([^/?#:]+)(?::(\d+))?([/?][^#]*)?/i.exec(text);
  if (!match) return null;
  const scheme = match[1]!.toLowerCase() as Url['scheme'];
  const [port, target] = [Number(match[3] ?? PORTS[scheme]), match[4] ?? '/'];
  return { scheme, host: match[2]!, port, target: target.startsWith('?') ? `/${target}` : target };
}

const plans = new WeakMap<ClusterObjects, Plan>();

/** The plan of the Ingresses in these objects, which never change. */
function planOf(objects: ClusterObjects): Plan {
  const plan = plans.get(objects) ?? compileIngress(objects);
  plans.set(objects, plan);
  return plan;
}

/**
 * True if HAProxy serves a URL: its client is outside, or a rule names its host. A pod's URL of a
 * Service does not pass HAProxy.
 */
export function servesUrl({ host }: Url, { from }: QuestionText, view: ClusterView): boolean {
  if (isOutside(from, view)) return true;
  const name = requestHost(host) ?? '';
  return planOf(view.objects).routes.some(
    (route) => route.host !== '*' && matchesHost(route, name),
  );
}

/**
 * Explains a request to an Ingress: the packet from its client to HAProxy, the rule, and the packet
 * from HAProxy to an endpoint. Throws KubetunError KT_EXPLAIN.
 */
export function explainUrl(
  url: Url,
  text: QuestionText,
  view: ClusterView,
  follow: FollowPacket,
): Explanation {
  if (text.node !== undefined) {
    const message = `--node examines one packet, and ${text.to} is a URL`;
    throw new KubetunError('KT_EXPLAIN', message, 'leave out --node', { usage: true });
  }
  const plan = planOf(view.objects);
  const found = matchRequest(plan, { host: url.host, target: url.target });
  const entry = entryOf(view, plan, url);
  const first = follow({ ...text, to: `${entry}:${url.port}` });
  const { explanation, arrived } = first;
  if (explanation.verdict !== 'forward' || arrived === null) {
    return { ...explanation, ingress: describe(found, url, plan, null, null) };
  }
  const { node, tuple } = arrived;
  const told = tellMatch(found, url, plan, view.objects);
  const status = statusOf(found, url, tuple);
  const steps = [...explanation.steps, ...stepsOf(told, node)];
  const pod = view.podAt(tuple.dst);
  const own = (stage: string, line: string) => steps.push({ node, stage, text: line });
  const chosen = status === null ? found.backend!.servers[0]! : null;
  const ingress = describe(found, url, plan, status, chosen && `${chosen.address}:${chosen.port}`);
  const all = { ...explanation, ingress, steps };
  if (status !== null) {
    own('answer', `${pod ? `pod ${pod.key}` : 'HAProxy'} answers ${answerText(status, found)}`);
    return { ...all, verdict: 'reject', reason: REASONS[status] ?? 'ingress-redirect' };
  }
  const { servers } = found.backend!;
  const how = servers.length === 1 ? 'the only one' : `one of ${servers.length}, in turn`;
  own('select', `${ingress.chosen}, ${how}`);
  const from = pod?.key ?? formatAddress(tuple.dst);
  const second = follow({ from, to: ingress.chosen! }).explanation;
  const { verdict, reason, policies } = second;
  return {
    ...all,
    ...(verdict !== 'forward' && { verdict, reason }),
    policies: [...explanation.policies, ...policies],
    steps: [...steps, ...second.steps],
  };
}

function stepsOf(told: Told[], node: string): Step[] {
  return told.map(([stage, text]) => ({ node, stage, text }));
}

/** The address that clients connect to. */
function entryOf({ serviceObjects }: ClusterView, { served }: Plan, { host }: Url): string {
  const addressOf = (key: string) =>
    serviceObjects.get(key)?.status?.loadBalancer?.ingress?.find(({ ip }) => ip)?.ip;
  const own = addressOf(ENTRY);
  if (own !== undefined) return own;
  const why = serviceObjects.has(ENTRY)
    ? `Service ${ENTRY} has no address in status.loadBalancer`
    : `there is no Service ${ENTRY}, through which HAProxy is reached`;
  const next =
    served.length === 0
      ? 'no Ingress has a class of this controller: set spec.ingressClassName to haproxy'
      : 'wait until HAProxy runs, or add the Service and its EndpointSlice to the objects';
  const message = `the URL of ${host} cannot be followed: ${why}`;
  throw new KubetunError('KT_EXPLAIN', message, next, { usage: true });
}

/** The status of HAProxy's own answer, in the order of its rules. Null if a server answers. */
function statusOf({ status, backend }: Match, { scheme }: Url, { src }: Tuple): number | null {
  if (!backend) return status;
  const isAllowed = backend.allowed?.some((text) => {
    const { address, mask } = parseRange(text)!;
    return (src & mask) === address;
  });
  if (isAllowed === false) return 403;
  if (scheme === 'http' && backend.redirectCode !== null) return backend.redirectCode;
  return status;
}

function answerText(status: number, { backend }: Match): string {
  const why: Record<number, string> = {
    400: '400: the host or the path is refused, since servers read it in different ways',
    403: `403: the client is not in the allow-list ${backend?.allowed?.join(', ')}`,
    404: '404: no rule matches, and there is no default backend',
    503: backend
      ? `503: Service ${backend.service} has no ready endpoint`
      : '503: the backend of the rule does not exist',
  };
  return why[status] ?? `${status}: a redirect to https`;
}

/** `ingress` of the explanation. */
function describe(
  { route, backend }: Match,
  url: Url,
  plan: Plan,
  status: number | null,
  chosen: string | null,
): IngressMatch {
  return {
    ingress: route?.from?.ingress ?? null,
    host: route?.host ?? null,
    path: route?.path ?? null,
    pathType: route?.type ?? null,
    rule: route?.from?.rule ?? null,
    rulePath: route?.from?.path ?? null,
    backend: backend && portText(backend),
    endpoints: (backend?.servers ?? []).map(({ address, port }) => `${address}:${port}`),
    certificate: url.scheme === 'https' ? certificateOf(plan, url.host) : null,
    ...{ status, chosen },
  };
}

function portText({ service, port }: Backend): string {
  return `${service}:${port}`;
}
