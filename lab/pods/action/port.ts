import type { Container } from '../../../control/kube/kinds.ts';

/**
 * A port that a probe or a hook names by number or by the name of one of its container's ports;
 * null if there is none.
 */
export function resolvePort(port: number | string, container: Container): number | null {
  const number =
    typeof port === 'number' || /^\d+$/.test(port)
      ? Number(port)
      : container.ports?.find(({ name }) => name === port)?.containerPort;
  return number !== undefined && number > 0 && number < 65_536 ? number : null;
}
