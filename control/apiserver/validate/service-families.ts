// Address families of Services in a cluster with IPv4 only:
// pkg/registry/core/service/storage/alloc.go (initIPFamilyFields), pkg/apis/core/validation
// (ValidateServiceClusterIPsRelatedFields).
import { isIP } from 'node:net';
import { isEqual } from '../../kube/object.ts';
import { duplicate, type FieldError, required, wrong } from '../status.ts';
import { IP_HINT } from './addresses.ts';
import { each, oneOf } from './formats.ts';

const FAMILIES = ['IPv4', 'IPv6'];
const POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
const POLICY_FIELD = 'spec.ipFamilyPolicy';
const MANY = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
/**
 * Fills in policy and families. Families that the cluster cannot serve stay, and validation refuses
 * them.
 */
export function defaultFamilies(spec: any, old: any): void {
  if (spec.type === 'ExternalName') return;
  spec.ipFamilyPolicy ??=
    old?.ipFamilyPolicy ?? (isBare(spec) ? 'RequireDualStack' : 'SingleStack');
  const isSingle = spec.ipFamilyPolicy === 'SingleStack';
  const given: string[] = spec.ipFamilies ?? [];
  if (isSingle && isEqual(given, old?.ipFamilies)) spec.ipFamilies = given.slice(0, 1);
  // An IPv6 address gets no default family, so that the error names the address.
  const isServed = isIP(spec.clusterIPs?.[0] ?? '') !== 6;
  if (given.length === 0 && isServed) spec.ipFamilies = ['IPv4'];
  const [first, ...others] = spec.ipFamilies ?? [];
  const isReduced = given.length > 0 && given.length < (old?.ipFamilies?.length ?? 0);
  if (!isBare(spec) || isSingle || isReduced || others.length > 0) return;
  if (FAMILIES.includes(first)) spec.ipFamilies = [first, ...FAMILIES.filter((f) => f !== first)];
}

/** True if headless without a selector: its endpoints are manual and can have any family. */
function isBare({ clusterIP, selector }: any): boolean {
  return clusterIP === 'None' && Object.keys(selector ?? {}).length === 0;
}

export function validateFamilies(spec: any, old: any): FieldError[] {
  if (spec.type === 'ExternalName') return [];
  const errors = [...validateWords(spec), ...validateAddresses(spec)];
  if (errors.length > 0) return errors;
  errors.push(...validateCounts(spec, old));
  if (errors.length > 0 || isBare(spec)) return errors;
  if (spec.ipFamilyPolicy === 'RequireDualStack') {
    const why = 'this cluster is not configured for dual-stack services';
    errors.push(wrong(POLICY_FIELD, spec.ipFamilyPolicy, why));
  }
  for (const [i, family] of spec.ipFamilies.entries()) {
    if (family === 'IPv4') continue;
    errors.push(wrong(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster'));
  }
  return errors;
}

function validateWords({ ipFamilies = [], ipFamilyPolicy }: any): FieldError[] {
  return [
    ...each('spec.ipFamilies', ipFamilies, (field, family, i) => [
      ...oneOf(field, family, FAMILIES),
      ...(ipFamilies.indexOf(family) < i ? [duplicate(field, family)] : []),
    ]),
    ...oneOf(POLICY_FIELD, ipFamilyPolicy, POLICIES),
  ];
}

function validateAddresses({ clusterIP, clusterIPs = [], ipFamilies = [] }: any): FieldError[] {
  const field = 'spec.clusterIPs';
  if (clusterIPs.length === 0) return clusterIP ? [required(field)] : [];
  const refuse = (detail: string) => [wrong(field, clusterIPs, detail)];
  if (!clusterIP) return refuse('must be empty when `clusterIP` is not specified');
  if (clusterIPs[0] !== clusterIP) return refuse('first value must match `clusterIP`');
  if (clusterIP === 'None') {
    return clusterIPs.length === 1 ? [] : refuse("'None' must be the first and only value");
  }
  const bad = clusterIPs.findIndex((ip: string) => isIP(ip) === 0);
  if (bad >= 0) return [wrong(`${field}[${bad}]`, clusterIPs[bad], IP_HINT)];
  if (clusterIPs.length > FAMILIES.length) return refuse('may only hold up to 2 values');
  const families: string[] = clusterIPs.map((ip: string) => FAMILIES[isIP(ip) === 4 ? 0 : 1]);
  if (families[0] === families[1]) {
    return refuse('may specify no more than one IP for each IP family');
  }
  return families.flatMap((family, i) => {
    const wanted = ipFamilies[i];
    if (wanted === family) return [];
    const why = wanted
      ? `expected an ${wanted} value as indicated by \`ipFamilies[${i}]\``
      : `${family} is not configured on this cluster`;
    return [wrong(`${field}[${i}]`, wanted ? clusterIPs[i] : clusterIPs, why)];
  });
}

/** Checks the policy against the numbers of addresses and families. */
function validateCounts({ ipFamilyPolicy, clusterIPs = [], ipFamilies }: any, old: any) {
  const refuse = (detail: string) => wrong(POLICY_FIELD, ipFamilyPolicy, detail);
  const errors: FieldError[] = [];
  if (ipFamilyPolicy === 'SingleStack') {
    if (clusterIPs.length > 1) errors.push(refuse(`${MANY} cluster IPs are specified`));
    if (ipFamilies.length > 1) errors.push(refuse(`${MANY} IP families are specified`));
  } else if (ipFamilies.length < (old?.ipFamilies?.length ?? 0)) {
    errors.push(refuse("must be 'SingleStack' to release the secondary IP family"));
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
