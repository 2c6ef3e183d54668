// Entry of the Ingress controller. It runs beside HAProxy in a pod and shares a folder with it.
import { getServers } from 'node:dns';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MONOTONIC_CLOCK } from '../../clock.ts';
import { connectKube } from '../../kube/client.ts';
import { createLog } from '../../log.ts';
import { Pacer } from '../../sync/pacer.ts';
import { compileIngress } from '../compile.ts';
import { CONFIG_DEFAULTS, FILES, renderHaproxy } from '../config.ts';
import type { Plan } from '../model.ts';
import { Applier } from './applier.ts';
import { fallbackCertificate } from './certificate.ts';
import { ConfigFiles } from './files.ts';
import { HaproxySockets } from './haproxy.ts';
import { Leader } from './leader.ts';
import { servePages } from './pages.ts';
import { Reporter } from './report.ts';
import { followObjects } from './sources.ts';

/** The load balancer of HAProxy, and the Lease, in the namespace of the pod. */
const SERVICE = 'haproxy';
const LEASE = 'ingress-controller';
/** A burst of changes is one compile. */
const APPLY_MS = 20;
const REPORT_MS = 200;
/** HAProxy is looked after at this interval, and compared in full at the second one. */
const LOOK_MS = 1000;
const COMPARE_MS = 30_000;
/** Events expire and failed writes are repeated. */
const REPORT_AGAIN_MS = 60_000;

const clock = MONOTONIC_CLOCK;
const identity = process.env.POD_NAME ?? hostname();
const namespace = process.env.POD_NAMESPACE ?? 'ingress';
const log = createLog({ controller: identity });

function readOptions() {
  const { values } = parseArgs({
    options: {
      kubeconfig: { type: 'string' },
      /** Shared with HAProxy. */
      folder: { type: 'string', default: '/run/ingress' },
      pages: { type: 'string', default: '8405' },
      'default-certificate': { type: 'string' },
    },
  });
  return values;
}

async function main(): Promise<void> {
  const { kubeconfig, folder, pages, ...options } = readOptions();
  const sockets = new HaproxySockets({
    master: join(folder, 'master.sock'),
    admin: join(folder, 'admin.sock'),
  });
  const files = new ConfigFiles(folder);
  const [nameserver] = getServers();
  const settings = {
    ...CONFIG_DEFAULTS,
    ...{ folder: files.current, socket: join(folder, 'admin.sock') },
    ...(nameserver && { nameserver: `${nameserver}:53` }),
  };
  const fallback = fallbackCertificate(folder);
  const kube = connectKube(kubeconfig ?? null);
  const failed = (why: unknown, what: string) => log.error({ what, why: String(why) }, 'failed');
  let plan: Plan | null = null;
  const own = () => sources.service(`${namespace}/${SERVICE}`);
  const apply = new Pacer(clock, APPLY_MS, () => {
    plan = compileIngress(sources.objects(), {
      defaultCertificate: options['default-certificate'] ?? null,
    });
    const rendered = renderHaproxy(plan, settings);
    if (!rendered.certificates.some(({ name }) => name === FILES.defaultCertificate)) {
      rendered.certificates.unshift({ name: FILES.defaultCertificate, pem: fallback });
    }
    void applier.apply(rendered);
    report.request();
  });
  const report = new Pacer(clock, REPORT_MS, () => {
    if (plan && leader.isLeading) {
      reporter.report(plan, own()).catch((error: unknown) => failed(error, 'report'));
    }
  });
  const sources = followObjects({ kube, log, onChange: () => apply.request() });
  const reporter = new Reporter({ kube, log, ingress: (key) => sources.ingress(key) });
  const applier = new Applier({
    ...{ sockets, files, clock, log },
    onRefused: (why) => void reporter.reportRefusal(own(), why),
  });
  const leader = new Leader({
    ...{ client: kube, lease: { namespace, name: LEASE }, identity, clock, log },
    onLeading: () => report.request(),
  });
  leader.start();
  setInterval(() => void applier.turn(), LOOK_MS);
  setInterval(() => void applier.turn(true), COMPARE_MS);
  setInterval(() => report.request(), REPORT_AGAIN_MS);
  const state = () => ({
    fault: applier.fault,
    isLeading: leader.isLeading,
    counts: { ...applier.counts },
  });
  await servePages(Number(pages), state, failed);
  log.info({ folder, nameserver: settings.nameserver }, 'the Ingress controller runs');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, async () => {
      sources.stop();
      await leader.stop();
      process.exit(0);
    });
  }
}

await main().catch((error: unknown) => {
  log.fatal({ why: String(error) }, 'the Ingress controller does not start');
  process.exit(1);
});
