// Resolves a name as a pod would, and reports each query of the search with its answer.

import { parseAddress } from '../../datapath/wire/address.ts';
import { answerFromZone } from '../dns/answer.ts';
import { RCODE, rcodeName, TYPE, typeName } from '../dns/constants.ts';
import { hostsOf } from '../dns/hosts.ts';
import { formatName, labelsOf, type Name, parseName } from '../dns/name.ts';
import type { DnsRecord } from '../dns/record.ts';
import { candidatesOf, type Resolver, resolverText } from '../dns/resolver.ts';
import type { Pod } from '../kube/kinds.ts';
import { serviceMeant, tellAbsent, tellElsewhere } from './absent.ts';
import type { Explanation, Lookup, LookupQuery, Step } from './explanation.ts';
import { flagOf, noSlices, podTrouble } from './missing.ts';
import type { Names } from './names.ts';
import type { ClusterObjects } from './objects.ts';
import { givenKey, nearestPod } from './question.ts';
import { type NameTarget, refuse } from './target.ts';

export interface Resolved {
  lookup: Lookup;
  /** Null if the name has an address. */
  failure: string | null;
  steps: Step[];
}

export interface LookupQuestion extends NameTarget {
  /** As it was given. */
  from: string;
  /** `NAMESPACE/NAME`. */
  pod: string;
  /** Addresses of names outside of the cluster, in lower case and without a dot at the end. */
  given: ReadonlyMap<string, string>;
}

/** Follows a packet from the pod to `ADDRESS:PORT/PROTO`. */
export type FollowQuery = (to: string) => Explanation;

const DNS_PORT = 53;

/** Throws KubetunError KT_EXPLAIN if the source is not a pod. */
export function lookUp(question: LookupQuestion, names: Names, followQuery: FollowQuery): Resolved {
  const pod = names.pods.get(question.pod);
  if (!pod || parseAddress(pod.status?.podIP ?? '') === null) {
    const isPod = !/^nodes?\/|^[\d.]+$/.test(question.from);
    const trouble = isPod ? podTrouble(question.pod, names.objects) : null;
    if (trouble !== null) throw refuse(...trouble);
    throw refuse(
      `--to ${question.name} is a name, but --from ${question.from} is not a pod with an address`,
      nearestPod(question.pod, [...names.pods.keys()]) ??
        'only pods use the DNS of the cluster: give --from as [NS/]POD, or --to as ADDRESS:PORT',
    );
  }
  return new Search(question, pod, names).run(followQuery);
}

class Search {
  readonly #question: LookupQuestion;
  readonly #pod: Pod;
  readonly #names: Names;
  readonly #steps: Step[] = [];
  readonly #lookup: Lookup;

  constructor(question: LookupQuestion, pod: Pod, names: Names) {
    this.#question = question;
    this.#pod = pod;
    this.#names = names;
    this.#lookup = { name: question.name, by: null, server: null, queries: [], addresses: [] };
  }

  run(followQuery: FollowQuery): Resolved {
    const hosts = this.#inHosts();
    if (hosts !== null) {
      this.#step('hosts', `/etc/hosts of the pod has ${this.#question.name}: ${hosts}`);
      Object.assign(this.#lookup, { by: 'hosts', addresses: [hosts] });
      return this.#end(null);
    }
    const resolver = this.#names.resolverOf(this.#pod);
    if (resolver === null) {
      const why = 'the pod has the resolver of its node, which the objects do not contain';
      return this.#fail('no-nameserver', [
        why,
        ...(this.#notCluster() ?? ['give --to as ADDRESS:PORT']),
      ]);
    }
    this.#step('resolver', resolverText(resolver).trim().replaceAll('\n', ', '));
    const server = this.#findServer(resolver, followQuery);
    if (typeof server === 'string') return this.#end(server);
    return this.#ask(resolver, server.isCluster);
  }

  #inHosts(): string | null {
    const name = this.#question.name.toLowerCase();
    const { spec, status } = this.#pod;
    const rows = hostsOf(this.#pod, status?.podIP ?? '', spec?.nodeName ?? '');
    const row = rows.find(([, ...own]) => own.some((each) => each.toLowerCase() === name));
    return row?.[0] ?? null;
  }

  /** The first name server that a query reaches, or the reason that there is none. */
  #findServer({ nameservers }: Resolver, followQuery: FollowQuery) {
    let failure = 'no-nameserver';
    for (const text of nameservers) {
      if (parseAddress(text) === null) continue;
      const isCluster = text === this.#names.dnsAddress;
      const { dns, isWhole } = this.#names;
      if (isCluster && !dns && !isWhole) {
        const hint = 'answers are those of a cluster with DNS';
        this.#step('server', `the objects contain no Service kube-system/kube-dns: ${hint}`);
        this.#lookup.server = { address: text, service: null, endpoint: null };
        return { isCluster };
      }
      const found = followQuery(`${text}:${DNS_PORT}/udp`);
      const { service, chosen } = found;
      if (found.verdict === 'forward') {
        this.#lookup.server = { address: text, service, endpoint: chosen?.endpoint ?? null };
        this.#step('server', serverText(`${text}:${DNS_PORT}`, found));
        return { isCluster: isCluster && dns !== undefined };
      }
      failure = `query-${found.reason}`;
      this.#steps.push(...found.steps.filter(({ stage }) => stage !== 'objects'));
      this.#tellServer(text, found);
    }
    if (failure === 'no-nameserver') this.#step('unresolved', 'the pod has no name server');
    if (!nameservers.includes(this.#names.dnsAddress)) {
      for (const line of this.#notCluster() ?? []) this.#step('', line);
    }
    return failure;
  }

  #tellServer(server: string, { reason, policies }: Explanation): void {
    const { dns, objects } = this.#names;
    const missing = dns ? noSlices(keyOf(dns), objects) : null;
    const say = (text: string) => this.#step('unresolved', text);
    if (reason === 'policy-egress') {
      const drops = policies.filter(({ verdict }) => verdict === 'drop');
      say(`NetworkPolicy ${drops.map(({ policy }) => policy).join(', ')} drops the DNS query`);
      this.#step(
        '',
        'policyTypes has Egress: add a rule with port 53, UDP and TCP, to kube-system',
      );
    } else if (reason === 'policy-ingress') say('a NetworkPolicy of the DNS pods drops the query');
    else if (reason === 'reject-no-endpoint' && missing) {
      say(missing[0]);
      this.#step('', missing[1]);
    } else if (reason === 'reject-no-endpoint' && dns) {
      say(`Service ${keyOf(dns)} has no ready pod, so no name has an answer`);
      this.#step('', 'kubectl get pods -n kube-system -l k8s-app=kube-dns shows its pods');
    } else if (server === this.#names.dnsAddress && !dns) {
      say(`the cluster has no DNS: no Service kube-system/kube-dns has ${server}`);
      this.#step('', `lab up${flagOf(objects)} starts it unless the topology file says dns: false`);
    } else say(`the query to ${server} gets no answer`);
  }

  #ask(resolver: Resolver, isCluster: boolean): Resolved {
    const { name } = this.#question;
    // A name that is asked outside before names of the cluster, as with ndots:1.
    let outside: LookupQuery | null = null;
    for (const text of candidatesOf(resolver, name)) {
      const asked = parseName(text);
      if (asked === null) {
        this.#step('query', `${text} is not asked: it is no DNS name`);
        continue;
      }
      const query = this.#answer(asked, isCluster);
      this.#lookup.queries.push(query);
      this.#step('query', queryText(query, this.#outside(isCluster)));
      const addresses = addressesOf(query);
      if (addresses.length > 0) {
        Object.assign(this.#lookup, { by: 'dns', addresses });
        if (outside) this.#step('', `as long as ${outside.name} has no address outside`);
        if (addresses.length > 1) this.#step('', `the packet goes to ${addresses[0]}, for example`);
        this.#tellPorts(asked);
        return this.#end(null);
      }
      if (query.rcode !== null) continue;
      outside ??= query;
      if (query.answers.length > 0) break;
    }
    if (outside) return this.#failOutside(outside, isCluster);
    return this.#failInside(this.#why(isCluster) ?? []);
  }

  /**
   * Fails for a name without an address in the cluster: a misspelt Service, or a name for upstream
   * servers.
   */
  #failOutside(query: LookupQuery, isCluster: boolean): Resolved {
    const why = query.answers.length === 0 ? this.#why(isCluster) : null;
    if (why !== null) return this.#failInside(why);
    const { pod, name } = this.#question;
    const own = isCluster ? tellElsewhere(name, this.#names) : this.#notCluster();
    const lines = externalText(chaseOf(query), pod, this.#names.objects);
    // With a Service of that name, the pod's resolver is the mistake.
    return this.#fail('external', isCluster ? [...(own ?? []), ...lines] : (own ?? lines));
  }

  /** Lines for a name of a Service, asked by a pod that does not use the DNS of the cluster. */
  #notCluster(): string[] | null {
    const { metadata, spec } = this.#pod;
    const { name, pod } = this.#question;
    const key = serviceMeant(name, metadata?.namespace ?? 'default', this.#names);
    if (key === null) return null;
    const policy = spec?.dnsPolicy ?? 'ClusterFirst';
    const isHost = spec?.hostNetwork === true;
    const has = isHost ? `hostNetwork and dnsPolicy: ${policy}` : `dnsPolicy: ${policy}`;
    const wanted = isHost ? 'ClusterFirstWithHostNet' : 'ClusterFirst';
    return [
      `pod ${pod} has ${has}: it does not use the DNS of the cluster`,
      `Service ${key} exists: its name resolves with dnsPolicy: ${wanted}`,
    ];
  }

  #failInside(why: string[]): Resolved {
    const hasName = this.#lookup.queries.some(({ rcode }) => rcode === 'NOERROR');
    return this.#fail(hasName ? 'nodata' : 'nxdomain', why);
  }

  #why(isCluster: boolean): string[] | null {
    const own = this.#pod.metadata?.namespace ?? 'default';
    const asked = this.#lookup.queries.map(({ name }) => name);
    return isCluster ? tellAbsent(this.#question.name, own, this.#names, asked) : null;
  }

  /** The answer of the cluster's DNS server. For a name outside, the addresses of --resolve. */
  #answer(name: Name, isCluster: boolean): LookupQuery {
    const found = isCluster ? answerFromZone(this.#names.zone, { name, type: TYPE.A }) : null;
    const answers = found?.answers.map(recordText) ?? [];
    const query = { name: formatName(name), type: typeName(TYPE.A) };
    const outside = found === null ? name : found.chase;
    if (outside === null) return { ...query, rcode: rcodeName(found!.rcode), answers };
    const address = this.#question.given.get(givenKey(formatName(outside)));
    if (address === undefined) return { ...query, rcode: null, answers };
    answers.push(`${formatName(outside)} A ${address}`);
    return { ...query, rcode: rcodeName(RCODE.NOERROR), answers };
  }

  /** A frequent mistake: only a ClusterIP translates ports. */
  #tellPorts(name: Name): void {
    const [namespace, service, ...more] = labelsOf(name).slice(0, -3).reverse();
    const key = `${namespace}/${service}`;
    const { spec } = this.#names.services.get(key) ?? {};
    const asked = Number(/^:(\d+)/.exec(this.#question.rest)?.[1]);
    const port = spec?.ports?.find((each) => each.port === asked);
    if (spec?.clusterIP !== 'None' || !port || more.length > 1) return;
    const ports = this.#names.slicesOf(key).flatMap((slice) => slice.ports ?? []);
    const own = ports.filter(({ name = '' }) => name === (port.name ?? ''));
    if (own.length === 0 || own.some((each) => each.port === asked)) return;
    const why = 'a headless Service translates no ports';
    this.#step('port', `${why}: its port ${asked} is port ${own[0]!.port} of the pod`);
  }

  #outside(isCluster: boolean): string {
    const { upstream } = this.#names;
    if (!isCluster) return 'the answer of a server outside of the cluster';
    return `asked upstream${upstream === null ? '' : ` at ${upstream}`}`;
  }

  #step(stage: string, text: string): void {
    this.#steps.push({ node: this.#pod.spec?.nodeName ?? '', stage, text });
  }

  #fail(failure: string, lines: string[]): Resolved {
    const [first = `no query of ${this.#question.name} has an address`, ...more] = lines;
    this.#step('unresolved', first);
    for (const line of more) this.#step('', line);
    return this.#end(failure);
  }

  #end(failure: string | null): Resolved {
    return { lookup: this.#lookup, failure, steps: this.#steps };
  }
}

function serverText(server: string, { service, chosen, steps }: Explanation): string {
  const to = steps.findLast(({ stage }) => stage === 'deliver')?.text.replace(/^to /, '');
  const ends = [chosen?.endpoint, to].filter((text) => text !== undefined);
  if (service === null) return `${server}/udp${to ? `, ${to}` : ''}: no Service of the cluster`;
  return `${server}/udp is ${service}: ${ends.join(', ')} answers`;
}

function queryText({ name, type, rcode, answers }: LookupQuery, outside: string): string {
  const [data, code] = [answers.map((line) => line.replace(`${name} `, '')), rcode ?? outside];
  return `${name} ${type}: ${[code, ...data].join(', ')}`;
}

function externalText(name: string, pod: string, objects: ClusterObjects): string[] {
  const exec = `scripts/kubetun lab exec${flagOf(objects)} ${pod.replace(/^default\//, '')} --`;
  const dig = `dig +short ${name}`;
  const command = objects.lab === null ? `${dig} in pod ${pod}` : `${exec} ${dig}`;
  return [
    `${name} is outside of the cluster, and explain sends nothing`,
    `${command} asks for its address`,
    `then add --resolve ${name.replace(/\.$/, '')}:ADDRESS`,
  ];
}

/** The name whose address is missing: the target of the last CNAME. */
function chaseOf({ name, answers }: LookupQuery): string {
  return answers.at(-1)?.split(' ')[2] ?? name;
}

function addressesOf({ answers }: LookupQuery): string[] {
  return answers
    .map((line) => line.split(' '))
    .flatMap(([, type, data]) => (type === 'A' ? [data!] : []));
}

function recordText({ name, type, data: [data] }: DnsRecord): string {
  const text = typeof data === 'string' ? formatName(data) : data!.join('.');
  return `${formatName(name)} ${typeName(type)} ${text}`;
}

function keyOf({ metadata }: { metadata?: { namespace?: string; name?: string } }): string {
  return `${metadata?.namespace}/${metadata?.name}`;
}
