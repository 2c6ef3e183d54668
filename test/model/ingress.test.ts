// Random rules and requests, asked of the plan and of HAProxy; hostile objects in the files.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileIngress } from '../../control/ingress/compile.ts';
import { renderHaproxy } from '../../control/ingress/config.ts';
import { matchRequest } from '../../control/ingress/match.ts';
import { Haproxy, PROGRAM } from '../unit/control/ingress/haproxy.ts';
import { CLASS, ingress, objectsOf, service } from '../unit/control/ingress/world.ts';

const skip = existsSync(PROGRAM) ? false : `${PROGRAM} is missing`;
const SEED = 17;
const PLANS = 3;
const REQUESTS = 150;
const NAMES = ['a', 'b', 'c', 'd'];
const SERVICES = NAMES.flatMap((name, i) => service(name, [`10.244.1.${i + 10}`]));

const label = fc.constantFrom('x', 'y', 'foo');
const host = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
const ruleHost = fc.oneof(
  host,
  host.map((text) => `*.${text}`),
  fc.constant('-'),
);
const part = fc.constantFrom('a', 'b', 'ab', '%61', '%2Da', 'a%20b', '.a', 'a;', 'A', '%25', '~');
const rulePath = fc
  .tuple(fc.array(part, { maxLength: 3 }), fc.constantFrom('', '/'))
  .map(([parts, end]) => `/${parts.join('/')}${parts.length > 0 ? end : ''}`);
const rule = fc
  .tuple(ruleHost, rulePath, fc.constantFrom('=', '*', '?'), fc.constantFrom(...NAMES, 'absent'))
  .map(([h, path, type, name]) => `${h} ${path} ${type} ${name}:80`);
const odd = fc.constantFrom('..', '.', '', '%2e', '%2f', '..;', '%00', '%zz', '\\', '+', '%2561');
const requestPath = fc
  .array(fc.oneof({ weight: 8, arbitrary: part }, odd), { maxLength: 4 })
  .chain((parts) => fc.constantFrom('', '/', '?x=/../').map((end) => `/${parts.join('/')}${end}`));
const requestHost = fc
  .tuple(host, fc.constantFrom('', ':80', '.', '/a', '@'))
  .map(([text, end]) => text + end);

test('HAProxy and the plan agree about random rules and requests', { skip }, async () => {
  const sets = fc.sample(fc.array(rule, { minLength: 5, maxLength: 25 }), {
    numRuns: PLANS,
    seed: SEED,
  });
  const requests = fc.sample(fc.tuple(requestHost, requestPath), { numRuns: REQUESTS, seed: SEED });
  for (const rules of sets) {
    const plan = compileIngress(objectsOf(CLASS, ...SERVICES, ingress({ name: 'all', rules })));
    const haproxy = new Haproxy();
    try {
      await haproxy.start(plan);
      for (const [name, target] of requests) {
        const found = matchRequest(plan, { host: name, target });
        const text = `GET ${target} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
        const { status, body } = await haproxy.send(text);
        const seen = status === 200 ? (JSON.parse(body) as { service: string }).service : status;
        equal(seen, found.status ?? found.backend!.service, `${name}${target} in ${rules}`);
      }
    } finally {
      await haproxy.stop();
    }
  }
});

const EVIL = '\n  EVIL line';
const evil = fc.oneof(
  fc.constantFrom(EVIL, `x${EVIL}`, 'a b', '"', "'", '\\', '#', '%[src]', '$HOME', `/a${EVIL}`),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constant(`/${'a'.repeat(20_000)}`),
);

test('no text of an object adds a line or a word to the files', () => {
  const texts = fc.array(evil, { minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(texts, ([a, b, c, d, e, f, g, h, i, j, k, l]) => {
      const to = (name: string, port: object) => ({ service: { name, port } });
      const paths = [
        { path: a, pathType: 'Exact', backend: to(b!, { name: c! }) },
        { path: `/${d}`, pathType: 'ImplementationSpecific', backend: to('a', { number: 80 }) },
        { path: `/${e}`, pathType: 'Prefix', backend: to('out', { number: 80 }) },
      ];
      const annotations = Object.fromEntries(
        ['allow-list', 'cookie-persistence', 'timeout-server', 'ssl-redirect-code'].map(
          (key, n) => [`haproxy.org/${key}`, [f, g, h, i][n]!],
        ),
      );
      const object = {
        kind: 'Ingress',
        metadata: { namespace: 'shop', name: j, annotations },
        spec: {
          ingressClassName: 'haproxy',
          tls: [{ hosts: [k], secretName: l }],
          rules: [{ host: k, http: { paths } }, { http: { paths } }],
        },
      };
      const out = {
        kind: 'Service',
        metadata: { namespace: 'shop', name: 'out', annotations },
        spec: { type: 'ExternalName', externalName: l },
      };
      const plan = compileIngress(objectsOf(CLASS, ...SERVICES, object, out));
      const { config, routes, crtList } = renderHaproxy(plan);
      ok(![config, routes, crtList].some((text) => /^\s*EVIL/m.test(text)));
      const lines = routes.trimEnd().split('\n');
      equal(lines.length, plan.routes.length);
      for (const line of lines) equal(line.split(/[ \t\r\v\f]/).length, 2);
      const sections = config.match(/^\S.*$/gm)!.filter((line) => line.startsWith('backend '));
      equal(sections.length, plan.backends.length + 2);
      const words = config.split('\n').filter((line) => /[^\x20-\x7e]/.test(line));
      deepEqual(words, []);
    }),
    { seed: SEED, numRuns: 200 },
  );
});
