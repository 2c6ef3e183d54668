// Compiles Ingresses, and what they refer to, to a plan. Pure.
import { objectKey } from '../model/parse.ts';
import { BackendTable } from './backends.ts';
import { CertificateTable } from './certificates.ts';
import { classFilter, oldestFirst } from './classes.ts';
import {
  CONTROLLER,
  type CompileOptions,
  type Ingress,
  type IngressObjects,
  NOT_FOUND,
  type Plan,
  type Problem,
  UNAVAILABLE,
} from './model.ts';
import { type Resolve, RouteTable } from './routes.ts';
import { asksH2, type Report, readSettings } from './settings.ts';

/**
 * The plan for these objects. Of two rules for the same host and path, that of the older Ingress is
 * in force. What cannot be served is a problem, and the rest is served.
 */
export function compileIngress(objects: IngressObjects, options: CompileOptions = {}): Plan {
  const { controller = CONTROLLER, defaultBackend = null, defaultCertificate = null } = options;
  const isOurs = classFilter(objects.classes, controller);
  const own = objects.ingresses.filter(isOurs).sort(oldestFirst);
  const backends = new BackendTable(objects.services, objects.slices);
  const certificates = new CertificateTable(objects.secrets);
  const routes = new RouteTable();
  const problems: Problem[] = [];
  for (const ingress of own) {
    const key = objectKey(ingress.metadata);
    const report = once((reason, message) => problems.push({ ingress: key, reason, message }));
    certificates.add(ingress, report);
    routes.add(ingress, resolverOf(ingress, backends, report), report);
  }
  const ignore = () => {};
  if (defaultCertificate !== null) certificates.addDefault(defaultCertificate, ignore);
  const rest = defaultBackend
    ? (backends.resolve(defaultBackend, {}, false, 'the default backend', ignore) ?? UNAVAILABLE)
    : NOT_FOUND;
  return {
    routes: routes.routes(rest),
    backends: backends.backends,
    certificates: certificates.certificates,
    problems,
    served: own.map(({ metadata }) => objectKey(metadata)).sort(),
  };
}

function resolverOf(ingress: Ingress, backends: BackendTable, report: Report): Resolve {
  const { annotations, namespace = 'default' } = ingress.metadata ?? {};
  const settings = readSettings(annotations, 'Ingress', report);
  const isH2 = asksH2(annotations);
  return ({ service, resource }, field) => {
    if (!service) {
      const what = JSON.stringify(`${resource?.kind ?? ''}/${resource?.name ?? ''}`);
      const why = `${field}.resource is ${what}: expected a Service, no other kind is served`;
      report('ResourceBackend', `${why}; use ${field}.service`);
      return UNAVAILABLE;
    }
    const port = service.port?.name || (service.port?.number ?? 0);
    const ref = { namespace, name: service.name, port };
    return backends.resolve(ref, settings, isH2, `${field}.service`, report) ?? UNAVAILABLE;
  };
}

/** Drops what was reported before. */
function once(report: Report): Report {
  const known = new Set<string>();
  return (reason, message) => {
    if (known.has(message)) return;
    known.add(message);
    report(reason, message);
  };
}
