import { parseQuantity, unitsOf } from './quantity.ts';

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
