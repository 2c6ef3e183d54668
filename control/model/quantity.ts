import { own } from '../kube/object.ts';

const SUFFIXES: Record<string, number> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** Parses `500m`, `64Mi`, `1e3`. 0 for an invalid text. Source: apimachinery/pkg/api/resource. */
export function parseQuantity(text: string): number {
  const [, number, suffix = ''] = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  return Number(number ?? 0) * (own(SUFFIXES, suffix) ?? 0);
}

/** The value in units, rounded up. */
export function unitsOf(value: number, unit: number): number {
  // Six decimals hide the error of binary fractions such as 0.1.
  return Math.ceil(Number((value / unit).toFixed(6)));
}

interface Container {
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
}

/** The resources that decide the class. */
const RESOURCES = ['cpu', 'memory'];

/**
 * The quality of service class of a pod, from the requests and limits of its containers:
 * `status.qosClass`. Source: k8s pkg/apis/core/v1/helper/qos.
 */
export function qosClassOf(spec: {
  containers?: Container[];
  initContainers?: Container[];
}): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const all = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const amounts = all.flatMap(({ resources }) =>
    RESOURCES.map((name) => [
      amountOf(resources?.requests?.[name]),
      amountOf(resources?.limits?.[name]),
    ]),
  );
  if (amounts.flat().every((amount) => amount === 0)) return 'BestEffort';
  const isGuaranteed = amounts.every(([request, limit]) => limit !== 0 && request === limit);
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}

/** In thousandths, so that 700m and 0.7 are equal. */
function amountOf(quantity = '0'): number {
  return unitsOf(parseQuantity(String(quantity)), 1e-3);
}
