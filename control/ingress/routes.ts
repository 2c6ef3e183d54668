// Routes of Ingresses: which rule is in force for a host and a path.
import { objectKey } from '../model/parse.ts';
import type { Ingress, Route, RouteSource } from './model.ts';
import { prefixPath, ruleHost, rulePath } from './names.ts';
import type { Report } from './settings.ts';

type HttpPath = NonNullable<
  NonNullable<NonNullable<Ingress['spec']>['rules']>[number]['http']
>['paths'][number];

/** The id of the backend of a path. Called for rules in force only. */
export type Resolve = (backend: HttpPath['backend'], field: string) => string;

export class RouteTable {
  readonly #routes = new Map<string, Route>();
  /** Host -> the default backend of the oldest Ingress with a rule for it; null for none. */
  readonly #defaults = new Map<string, Route | null>();
  /** The default backend of an Ingress without rules, and of one with rules. */
  #catchAll: Route | null = null;
  #catchRest: Route | null = null;

  /** Adds an Ingress. They come in the order of their precedence. */
  add(ingress: Ingress, resolve: Resolve, report: Report): void {
    const { metadata, spec } = ingress;
    const key = objectKey(metadata);
    const rules = spec?.rules ?? [];
    const standard = this.#defaultOf(ingress, key, resolve, report);
    for (const [r, rule] of rules.entries()) {
      const host = ruleHost(rule.host);
      const at = `spec.rules[${r}]`;
      if (host === null) {
        const why = `${at}.host is ${JSON.stringify(rule.host)}: expected a DNS name`;
        report('HostInvalid', `${why}, or *. and a DNS name; correct it`);
        continue;
      }
      this.#defaults.set(host, this.#defaults.get(host) ?? standard);
      for (const [p, path] of (rule.http?.paths ?? []).entries()) {
        const from = { ingress: key, rule: r, path: p };
        this.#addPath(host, path, from, `${at}.http.paths[${p}]`, resolve, report);
      }
    }
  }

  /** All routes by precedence. `rest` is the backend for what nothing else matches. */
  routes(rest: string): Route[] {
    const own = { host: '*', path: '/', type: 'Prefix' as const, backend: rest, from: null };
    const catchAll = this.#catchAll ?? this.#catchRest ?? own;
    for (const host of new Set([...this.#defaults.keys(), '*'])) {
      const route = { ...(this.#defaults.get(host) ?? catchAll), host };
      if (!this.#routes.has(idOf(route))) this.#routes.set(idOf(route), route);
    }
    return [...this.#routes.values()].sort(byPrecedence);
  }

  #defaultOf({ spec }: Ingress, key: string, resolve: Resolve, report: Report): Route | null {
    if (!spec?.defaultBackend) return null;
    const hasRules = (spec.rules ?? []).length > 0;
    if (!hasRules && this.#catchAll !== null) {
      const owner = this.#catchAll.from?.ingress;
      const why = `spec.defaultBackend is not in force: Ingress ${owner} is older and has one`;
      report('DefaultBackendConflict', `${why}; add rules with hosts`);
      return null;
    }
    const from = { ingress: key, rule: null, path: null };
    const backend = resolve(spec.defaultBackend, 'spec.defaultBackend');
    const route: Route = { host: '*', path: '/', type: 'Prefix', backend, from };
    if (hasRules) this.#catchRest ??= route;
    else this.#catchAll = route;
    return route;
  }

  #addPath(
    host: string,
    { path: text = '', pathType, backend }: HttpPath,
    from: RouteSource,
    at: string,
    resolve: Resolve,
    report: Report,
  ): void {
    const type = pathType === 'Exact' ? 'Exact' : 'Prefix';
    const path = rulePath(text === '' && pathType === 'ImplementationSpecific' ? '/' : text);
    const quoted = JSON.stringify(text.slice(0, PATH_CHARS_TOLD));
    if (path === null) {
      const expected = 'expected an absolute path without query, //, . and .. segments, %2f or \\';
      report('PathInvalid', `${at}.path is ${quoted}: ${expected}; correct it`);
      return;
    }
    const route = { host, path: type === 'Prefix' ? prefixPath(path) : path, type, from } as const;
    const before = this.#routes.get(idOf(route));
    if (before) {
      const { ingress, rule, path: index } = before.from!;
      const owner =
        ingress === from.ingress ? 'this Ingress' : `Ingress ${ingress}, which is older,`;
      const why = `${at} is not in force: ${owner} has ${type} ${quoted} for host ${host}`;
      report('PathConflict', `${why} (spec.rules[${rule}].http.paths[${index}]); remove one`);
      return;
    }
    this.#routes.set(idOf(route), { ...route, backend: resolve(backend, `${at}.backend`) });
  }
}

const PATH_CHARS_TOLD = 100;

function idOf({ host, path, type }: Pick<Route, 'host' | 'path' | 'type'>): string {
  return `${type} ${host} ${path}`;
}

/** Exact host, wildcard, any host; then the longest path, and Exact before Prefix. */
function byPrecedence(a: Route, b: Route): number {
  return (
    rankOf(a.host) - rankOf(b.host) ||
    compare(a.host, b.host) ||
    b.path.length - a.path.length ||
    compare(a.type, b.type) ||
    compare(a.path, b.path)
  );
}

function rankOf(host: string): number {
  return host === '*' ? 2 : host.startsWith('*.') ? 1 : 0;
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
