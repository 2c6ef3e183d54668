import { parseQuantity } from './quantity.ts';

interface Container {
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
}

/** What the class goes by. */
const RESOURCES = ['cpu', 'memory'];

/**
 * The quality of service of a pod, by what its containers request and are limited to: `status.qosClass`. Source: k8s
 * pkg/apis/core/v1/helper/qos.
 */
export function qosClassOf(spec: {
  containers?: Container[];
  initContainers?: Container[];
}): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const all = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const amounts = all.flatMap(({ resources }) =>
    RESOURCES.map((name) => [
      parseQuantity(String(resources?.requests?.[name] ?? '0')),
      parseQuantity(String(resources?.limits?.[name] ?? '0')),
    ]),
  );
  if (amounts.flat().every((amount) => amount === 0)) return 'BestEffort';
  const isGuaranteed = amounts.every(([request, limit]) => limit !== 0 && request === limit);
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}
