// Rules of Ingresses and IngressClasses: pkg/apis/networking/validation.
import { isIP } from 'node:net';
import type { KubeObject } from '../../kube/object.ts';
import { type FieldError, forbidden, required, tooLong, wrong } from '../status.ts';
import {
  DNS_LABEL_1035,
  each,
  matching,
  oneOf,
  optional,
  PORT,
  PORT_NAME,
  SUBDOMAIN,
  WILDCARD,
} from './formats.ts';

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];
const PATH_PARTS_REFUSED = ['//', '/./', '/../', '%2f', '%2F'];
const PATH_ENDS_REFUSED = ['/..', '/.'];
const CONTROLLER_BYTES_MAX = 250;

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validateIngress(
  { metadata, spec = {} }: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const ofAnnotation = metadata.annotations?.[CLASS_ANNOTATION];
  if (!old && ofAnnotation !== undefined && spec.ingressClassName !== undefined) {
    const field = `metadata.annotations[${CLASS_ANNOTATION}]`;
    errors.push(wrong(field, ofAnnotation, 'can not be set when the class field is also set'));
  }
  const rules: any[] = spec.rules ?? [];
  if (rules.length === 0 && !spec.defaultBackend) {
    errors.push(wrong('spec', null, 'either `defaultBackend` or `rules` must be specified'));
  }
  if (spec.defaultBackend)
    errors.push(...validateBackend('spec.defaultBackend', spec.defaultBackend));
  return [
    ...errors,
    ...each('spec.rules', rules, validateRule),
    ...each('spec.tls', spec.tls, (at, { hosts, secretName }: any) => [
      ...each(`${at}.hosts`, hosts, validateHost),
      ...optional(`${at}.secretName`, secretName, SUBDOMAIN),
    ]),
    ...optional('spec.ingressClassName', spec.ingressClassName, SUBDOMAIN),
  ];
}

function validateRule(at: string, { host, http }: any): FieldError[] {
  const errors: FieldError[] = [];
  if (host && isIP(host)) {
    errors.push(wrong(`${at}.host`, host, 'must be a DNS name, not an IP address'));
  } else if (host) errors.push(...validateHost(`${at}.host`, host));
  if (!http) return errors;
  if (!http.paths?.length) return [...errors, required(`${at}.http.paths`)];
  return [...errors, ...each(`${at}.http.paths`, http.paths, validatePath)];
}

function validatePath(at: string, { path = '', pathType, backend }: any): FieldError[] {
  const field = `${at}.path`;
  const errors: FieldError[] = [];
  if (!pathType) return [required(`${at}.pathType`, 'pathType must be specified')];
  if (!PATH_TYPES.includes(pathType)) {
    errors.push(...oneOf(`${at}.pathType`, pathType, PATH_TYPES));
  } else if (pathType === 'ImplementationSpecific') {
    if (path !== '' && !path.startsWith('/')) {
      errors.push(wrong(field, path, 'must be an absolute path'));
    }
  } else {
    if (!path.startsWith('/')) errors.push(wrong(field, path, 'must be an absolute path'));
    for (const part of PATH_PARTS_REFUSED) {
      if (path.includes(part)) errors.push(wrong(field, path, `must not contain '${part}'`));
    }
    for (const end of PATH_ENDS_REFUSED) {
      if (path.endsWith(end)) errors.push(wrong(field, path, `cannot end with '${end}'`));
    }
  }
  return [...errors, ...validateBackend(`${at}.backend`, backend ?? {})];
}

function validateBackend(at: string, { service, resource }: any): FieldError[] {
  if (service && resource) return [wrong(at, '', 'cannot set both resource and service backends')];
  if (resource) {
    const missing = ['kind', 'name'].filter((field) => !resource[field]);
    return missing.map((field) => required(`${at}.resource.${field}`));
  }
  if (!service) return [wrong(at, '', 'resource or service backend is required')];
  const errors: FieldError[] = [];
  if (!service.name) errors.push(required(`${at}.service.name`));
  else errors.push(...matching(`${at}.service.name`, service.name, DNS_LABEL_1035));
  const { name, number } = service.port ?? {};
  if (name && number) errors.push(wrong(at, '', 'cannot set both port name & port number'));
  else if (!name && !number) errors.push(required(at, 'port name or number is required'));
  else {
    errors.push(...optional(`${at}.service.port.name`, name, PORT_NAME));
    errors.push(...optional(`${at}.service.port.number`, number, PORT));
  }
  return errors;
}

function validateHost(field: string, host: string): FieldError[] {
  return matching(field, host, host.includes('*') ? WILDCARD : SUBDOMAIN);
}

export function defaultIngressClass({ spec }: KubeObject): void {
  if (spec?.parameters) spec.parameters.scope ??= 'Cluster';
}

export function validateIngressClass(
  { spec = {} }: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const { controller = '', parameters } = spec;
  const field = 'spec.controller';
  const errors: FieldError[] = parameters ? validateParameters('spec.parameters', parameters) : [];
  if (controller === '') errors.push(required(field));
  else if (controller.length > CONTROLLER_BYTES_MAX) {
    errors.push(tooLong(field, CONTROLLER_BYTES_MAX));
  } else {
    const [domain, ...path] = controller.split('/');
    if (!SUBDOMAIN.test(domain) || path.join('/') === '') {
      errors.push(
        wrong(field, controller, 'must be a domain-prefixed path (such as "acme.io/foo")'),
      );
    }
  }
  if (old && old.spec?.controller !== controller) {
    errors.push(wrong(field, controller, 'field is immutable'));
  }
  return errors;
}

function validateParameters(at: string, { kind, name, scope, namespace }: any): FieldError[] {
  const scopes = ['Cluster', 'Namespace'];
  const errors: FieldError[] = [];
  if (!kind) errors.push(required(`${at}.kind`));
  if (!name) errors.push(required(`${at}.name`));
  errors.push(...oneOf(`${at}.scope`, scope, scopes));
  if (scope === 'Namespace' && !namespace) {
    errors.push(required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'"));
  }
  if (scope === 'Cluster' && namespace !== undefined) {
    errors.push(forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
