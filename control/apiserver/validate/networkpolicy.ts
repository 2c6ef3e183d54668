// Rules and defaults of NetworkPolicies: pkg/apis/networking/validation
// (ValidateNetworkPolicySpec), pkg/apis/networking/v1/defaults.go.
import { BlockList } from 'node:net';
import { maskOf, parseAddress } from '../../../datapath/wire/address.ts';
import type { KubeObject } from '../../kube/object.ts';
import { API_PROTOCOLS } from '../../model/parse.ts';
import { type FieldError, forbidden, required, wrong } from '../status.ts';
import { CIDR, type Cidr, parseCidr } from './addresses.ts';
import { each, matching, oneOf, PORT, PORT_NAME } from './formats.ts';
import { validateLabelSelector } from './labels.ts';

const POLICY_TYPES = ['Egress', 'Ingress'];

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function defaultNetworkPolicy({ spec }: KubeObject): void {
  if (!spec) return;
  spec.podSelector ??= {};
  // The default type is Ingress, and also Egress for a policy with egress rules.
  if (!spec.policyTypes?.length) {
    spec.policyTypes = spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress'];
  }
  for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
    for (const port of rule?.ports ?? []) port.protocol ??= 'TCP';
  }
}

export function validateNetworkPolicy({ spec = {} }: KubeObject): FieldError[] {
  const rules = (direction: string, peers: string) =>
    (spec[direction] ?? []).flatMap((rule: any, i: number) => [
      ...each(`spec.${direction}[${i}].ports`, rule?.ports, validatePort),
      ...each(`spec.${direction}[${i}].${peers}`, rule?.[peers], validatePeer),
    ]);
  return [
    ...validateLabelSelector('spec.podSelector', spec.podSelector),
    ...rules('ingress', 'from'),
    ...rules('egress', 'to'),
    ...validateTypes(spec.policyTypes ?? []),
  ];
}

function validateTypes(types: string[]): FieldError[] {
  const field = 'spec.policyTypes';
  if (types.length > POLICY_TYPES.length) {
    return [wrong(field, types, 'may not specify more than two policyTypes')];
  }
  return each(field, types, (at, type) => oneOf(at, type, POLICY_TYPES));
}

function validatePort(at: string, { protocol, port, endPort }: any): FieldError[] {
  const errors = oneOf(`${at}.protocol`, protocol, API_PROTOCOLS);
  if (port !== undefined) {
    errors.push(...matching(`${at}.port`, port, typeof port === 'string' ? PORT_NAME : PORT));
  }
  const fault = endPort === undefined ? null : faultOfEnd(port, endPort);
  return fault ? [...errors, wrong(`${at}.endPort`, endPort, fault)] : errors;
}

function faultOfEnd(port: unknown, endPort: number): string | null {
  if (port === undefined) return 'may not be specified when `port` is not specified';
  if (typeof port === 'string') return 'may not be specified when `port` is non-numeric';
  if (endPort < (port as number)) return 'must be greater than or equal to `port`';
  return PORT.test(endPort) ? null : PORT.hint;
}

function validatePeer(at: string, peer: any): FieldError[] {
  const { podSelector, namespaceSelector, ipBlock } = peer ?? {};
  if (!podSelector && !namespaceSelector && !ipBlock) return [required(at, 'must specify a peer')];
  const errors = [
    ...validateLabelSelector(`${at}.podSelector`, podSelector),
    ...validateLabelSelector(`${at}.namespaceSelector`, namespaceSelector),
    ...(ipBlock ? validateBlock(`${at}.ipBlock`, ipBlock) : []),
  ];
  if (ipBlock && (podSelector || namespaceSelector)) {
    errors.push(forbidden(at, 'may not specify both ipBlock and another peer'));
  }
  return errors;
}

function validateBlock(at: string, { cidr, except }: any): FieldError[] {
  if (!cidr) return [required(`${at}.cidr`)];
  const outer = parseCidr(cidr);
  if (!outer) return [wrong(`${at}.cidr`, cidr, CIDR.hint)];
  if (!except?.length) return [];
  const contains = containsOf(outer);
  return each(`${at}.except`, except, (field, text: string) => {
    const inner = parseCidr(text);
    if (!inner) return [wrong(field, text, CIDR.hint)];
    const isInside = inner.prefix > outer.prefix && contains(inner);
    return isInside ? [] : [wrong(field, text, 'must be a strict subset of `cidr`')];
  });
}

/** Tests addresses against a range. Node's BlockList takes a second for 30,000 exceptions. */
function containsOf({ address, prefix, family }: Cidr): (inner: Cidr) => boolean {
  if (family === 'ipv4') {
    const mask = maskOf(prefix);
    const base = parseAddress(address)! & mask;
    return (inner) => inner.family === family && (parseAddress(inner.address)! & mask) === base;
  }
  const block = new BlockList();
  block.addSubnet(address, prefix, family);
  return (inner) => block.check(inner.address, inner.family);
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.
