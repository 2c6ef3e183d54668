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

/** `500m`, `64Mi`, `1e3`; 0 of what is none. apimachinery/pkg/api/resource. */
export function parseQuantity(text: string): number {
  const [, number, suffix = ''] = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  return Number(number ?? 0) * (own(SUFFIXES, suffix) ?? 0);
}

/** How many units a value is, rounded up. */
export function unitsOf(value: number, unit: number): number {
  // Parts of a million hide what binary fractions do to 0.1.
  return Math.ceil(Number((value / unit).toFixed(6)));
}

interface Container {
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
}

/** What the class goes by. */
const RESOURCES = ['cpu', 'memory'];

/**
 * The quality of service of a pod, by what its containers request and are limited to:
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

/** Thousandths, in which 700m and 0.7 are the same number. */
function amountOf(quantity = '0'): number {
  return unitsOf(parseQuantity(String(quantity)), 1e-3);
}
