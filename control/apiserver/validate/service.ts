// Rules of Services across fields: pkg/apis/core/validation (ValidateService,
// ValidateServiceUpdate).

import { isEqual, type KubeObject } from '../../kube/object.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { CIDR, validateUnicast } from './addresses.ts';
import { each, matching, oneOf, optional, PORT, QUALIFIED_NAME, SUBDOMAIN } from './formats.ts';
import { validateLabels } from './labels.ts';
import { validateFamilies } from './service-families.ts';
import { hasHealthPort, hasNodePorts, isExternal, validatePorts } from './service-ports.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const POLICIES = ['Cluster', 'Local'];
const DISTRIBUTIONS = ['PreferClose', 'PreferSameNode', 'PreferSameZone'];
const AFFINITY_S_MAX = 86_400;
const LOAD_BALANCER_ALONE = "may only be used when `type` is 'LoadBalancer'";
const EXTERNAL_NAME = 'may not be set for ExternalName services';

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validateService(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { spec } = object;
  return [
    ...(old ? validateUpdate(spec, old.spec) : []),
    ...validateType(spec),
    ...validatePorts(spec),
    ...validateLabels('spec.selector', spec.selector),
    ...validateAffinity(spec),
    ...validateFamilies(spec, old?.spec),
    ...each('spec.externalIPs', spec.externalIPs, validateUnicast),
    ...validateBalancer(spec),
    ...validatePolicies(spec),
  ];
}

function validateType(spec: any): FieldError[] {
  const { type, clusterIP, externalName } = spec;
  const errors = oneOf('spec.type', type, TYPES);
  if (type !== 'ExternalName') {
    if (!spec.ports?.length && clusterIP !== 'None') errors.push(required('spec.ports'));
    if (clusterIP === 'None' && hasNodePorts(spec)) {
      const why = `may not be set to 'None' for ${type} services`;
      errors.push(wrong('spec.clusterIPs[0]', 'None', why));
    }
    return errors;
  }
  if (spec.clusterIPs?.length) errors.push(forbidden('spec.clusterIPs', EXTERNAL_NAME));
  if (spec.ipFamilies?.length) errors.push(forbidden('spec.ipFamilies', EXTERNAL_NAME));
  if (spec.ipFamilyPolicy) errors.push(forbidden('spec.ipFamilyPolicy', EXTERNAL_NAME));
  if (!externalName) errors.push(required('spec.externalName'));
  else if (!SUBDOMAIN.test(externalName.replace(/\.$/, ''))) {
    errors.push(wrong('spec.externalName', externalName, SUBDOMAIN.hint));
  }
  return errors;
}

function validateAffinity(spec: any): FieldError[] {
  const kinds = ['ClientIP', 'None'];
  if (!kinds.includes(spec.sessionAffinity)) {
    return oneOf('spec.sessionAffinity', spec.sessionAffinity, kinds);
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds === undefined || (seconds >= 1 && seconds <= AFFINITY_S_MAX)) return [];
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  return [wrong(field, seconds, `must be greater than 0 and less than ${AFFINITY_S_MAX}`)];
}

/** Fields that need type LoadBalancer. */
function validateBalancer(spec: any): FieldError[] {
  const errors: FieldError[] = [];
  const isBalancer = spec.type === 'LoadBalancer';
  // The capital letter is upstream's.
  const field = 'spec.LoadBalancerSourceRanges';
  const ranges: string[] = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0 && !isBalancer) errors.push(forbidden(field, LOAD_BALANCER_ALONE));
  // Upstream accepts spaces around a range.
  errors.push(...each(field, ranges, (at, range) => matching(at, range.trim(), CIDR)));
  const { allocateLoadBalancerNodePorts, loadBalancerClass } = spec;
  if (allocateLoadBalancerNodePorts !== undefined && !isBalancer) {
    errors.push(forbidden('spec.allocateLoadBalancerNodePorts', LOAD_BALANCER_ALONE));
  }
  if (loadBalancerClass === undefined) return errors;
  if (!isBalancer) errors.push(forbidden('spec.loadBalancerClass', LOAD_BALANCER_ALONE));
  else errors.push(...matching('spec.loadBalancerClass', loadBalancerClass, QUALIFIED_NAME));
  return errors;
}

function validatePolicies(spec: any): FieldError[] {
  const errors: FieldError[] = [];
  const { internalTrafficPolicy, externalTrafficPolicy, trafficDistribution } = spec;
  const field = 'spec.externalTrafficPolicy';
  if (isExternal(spec)) {
    errors.push(...oneOf(field, externalTrafficPolicy, POLICIES));
  } else if (externalTrafficPolicy) {
    const why = 'may only be set for externally-accessible services';
    errors.push(wrong(field, externalTrafficPolicy, why));
  }
  const { healthCheckNodePort: health } = spec;
  if (health && !hasHealthPort(spec)) {
    const why =
      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(wrong('spec.healthCheckNodePort', health, why));
  } else errors.push(...optional('spec.healthCheckNodePort', health, PORT));
  if (internalTrafficPolicy !== undefined) {
    errors.push(...oneOf('spec.internalTrafficPolicy', internalTrafficPolicy, POLICIES));
  }
  if (trafficDistribution !== undefined) {
    errors.push(...oneOf('spec.trafficDistribution', trafficDistribution, DISTRIBUTIONS));
  }
  return errors;
}

function validateUpdate(spec: any, old: any): FieldError[] {
  const errors: FieldError[] = [];
  const isNamed = [spec, old].some(({ type }) => type === 'ExternalName');
  if (!isNamed && !isEqual(spec.clusterIP, old.clusterIP)) {
    errors.push(wrong('spec.clusterIPs[0]', spec.clusterIPs, 'may not change once set'));
  }
  const isBalanced = [spec, old].every(({ type }) => type === 'LoadBalancer');
  if (isBalanced && spec.loadBalancerClass !== old.loadBalancerClass) {
    errors.push(wrong('spec.loadBalancerClass', spec.loadBalancerClass, 'may not change once set'));
  }
  const isSame = spec.healthCheckNodePort === old.healthCheckNodePort;
  if ([spec, old].every(hasHealthPort) && !isSame) {
    errors.push(forbidden('spec.healthCheckNodePort', 'field is immutable'));
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
