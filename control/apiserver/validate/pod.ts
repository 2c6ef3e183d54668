// Rules of Pods across fields: pkg/apis/core/validation (ValidatePod), as far as the lab runs them.
import { isIPv4 } from 'node:net';
import { isEqual, type KubeObject } from '../../kube/object.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { validateContainers } from './container.ts';
import {
  DNS_LABEL,
  each,
  type Format,
  matching,
  oneOf,
  optional,
  SUBDOMAIN,
  unique,
} from './formats.ts';

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const ADDRESS: Format = {
  test: (value) => isIPv4(String(value)),
  hint: 'must be a valid IPv4 address',
};

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validatePod(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors = validatePodSpec('spec', object.spec);
  if (old) errors.push(...validateUpdate(object.spec, old.spec));
  return errors;
}

/** @param at the path of the spec: `spec` of a Pod, `spec.template.spec` of a workload. */
export function validatePodSpec(at: string, spec: any): FieldError[] {
  const errors: FieldError[] = [];
  if (!spec.containers?.length) errors.push(required(`${at}.containers`));
  errors.push(...oneOf(`${at}.restartPolicy`, spec.restartPolicy, RESTART_POLICIES));
  const { terminationGracePeriodSeconds: graceS } = spec;
  if (graceS < 0) {
    const field = `${at}.terminationGracePeriodSeconds`;
    errors.push(wrong(field, graceS, 'must be greater than or equal to 0'));
  }
  return [
    ...errors,
    ...optional(`${at}.hostname`, spec.hostname, DNS_LABEL),
    ...optional(`${at}.subdomain`, spec.subdomain, DNS_LABEL),
    ...each(`${at}.hostAliases`, spec.hostAliases, (field, { ip, hostnames = [] }: any) => [
      ...matching(`${field}.ip`, ip, ADDRESS),
      ...hostnames.flatMap((name: string) => matching(`${field}.hostnames`, name, SUBDOMAIN)),
    ]),
    ...validateDns(at, spec),
    ...validateVolumes(`${at}.volumes`, spec.volumes ?? []),
    ...validateContainers(at, spec),
  ];
}

function validateDns(at: string, { dnsPolicy, dnsConfig = {} }: any): FieldError[] {
  const errors = oneOf(`${at}.dnsPolicy`, dnsPolicy, DNS_POLICIES);
  const { nameservers = [], searches = [], options = [] } = dnsConfig;
  const field = `${at}.dnsConfig`;
  if (dnsPolicy === 'None' && nameservers.length === 0) {
    const why = "must provide at least one DNS nameserver when `dnsPolicy` is 'None'";
    errors.push(required(`${field}.nameservers`, why));
  }
  if (nameservers.length > NAMESERVERS_MAX) {
    const why = `must not have more than ${NAMESERVERS_MAX} nameservers`;
    errors.push(wrong(`${field}.nameservers`, nameservers, why));
  }
  errors.push(
    ...each(`${field}.nameservers`, nameservers, (path, ip) => matching(path, ip, ADDRESS)),
  );
  if (searches.length > SEARCHES_MAX) {
    const why = `must not have more than ${SEARCHES_MAX} search paths`;
    errors.push(wrong(`${field}.searches`, searches, why));
  }
  for (const [i, option] of options.entries()) {
    if (!option.name) errors.push(required(`${field}.options[${i}]`, 'must not be empty'));
  }
  return errors;
}

function validateVolumes(at: string, volumes: any[]): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, { name, ...sources }] of volumes.entries()) {
    const field = `${at}[${i}]`;
    errors.push(...unique(`${field}.name`, name, names));
    const given = Object.keys(sources).filter((source) => sources[source]);
    if (given.length === 0) errors.push(required(field, 'must specify a volume type'));
    for (const source of given.slice(1)) {
      errors.push(forbidden(`${field}.${source}`, 'may not specify more than 1 volume type'));
    }
    if (sources.configMap && !sources.configMap.name) {
      errors.push(required(`${field}.configMap.name`));
    }
    if (sources.persistentVolumeClaim && !sources.persistentVolumeClaim.claimName) {
      errors.push(required(`${field}.persistentVolumeClaim.claimName`));
    }
    if (sources.secret && !sources.secret.secretName) {
      errors.push(required(`${field}.secret.secretName`));
    }
  }
  return errors;
}

/** An update of a pod can change images, and can set its node once. */
function validateUpdate(spec: any, old: any): FieldError[] {
  const still = (s: any) => ({
    ...s,
    nodeName: undefined,
    // A copy of serviceAccountName. Pods of earlier versions lack it.
    serviceAccount: undefined,
    tolerations: undefined,
    activeDeadlineSeconds: undefined,
    terminationGracePeriodSeconds: undefined,
    containers: s.containers?.map((c: any) => ({ ...c, image: '', imagePullPolicy: '' })),
    initContainers: s.initContainers?.map((c: any) => ({ ...c, image: '', imagePullPolicy: '' })),
  });
  const moved = old.nodeName && spec.nodeName !== old.nodeName;
  if (!moved && isEqual(still(spec), still(old))) return [];
  const detail =
    'pod updates may not change fields other than ' +
    '`spec.containers[*].image`,`spec.initContainers[*].image`,' +
    '`spec.activeDeadlineSeconds`,`spec.tolerations` ' +
    '(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it ' +
    'to be set to 1 if it was previously negative)';
  return [forbidden('spec', detail)];
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
