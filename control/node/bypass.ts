// Rules that let the traffic of a node itself past a datapath which stays away, while what belongs
// to pods and Services stays held: it would pass untranslated. The next agent's steering takes them
// off, for it does not want them.
import { formatRule, PLAINLY, type Rule, STEER } from './rule.ts';
import { PROTOCOLS, type SteeringInput } from './steering.ts';

const PORTS_FIRST = 1;

/** `ip -batch` lines, with `add` or `del`, on a node with the steering of `planSteering`. */
export function bypassLines(
  verb: 'add' | 'del',
  input: Pick<SteeringInput, 'uplink' | 'nodeAddress' | 'podRanges' | 'nodePorts' | 'snatPorts'>,
): string[] {
  const { uplink: iif, nodeAddress: to, podRanges, nodePorts, snatPorts } = input;
  const ports: [number, number][] = [
    [PORTS_FIRST, nodePorts[0] - 1],
    [nodePorts[1] + 1, snatPorts[0] - 1],
  ];
  const rules: Rule[] = [
    // Pings of the node and its answers; the errors that it sends beside are about packets that are
    // held.
    { pref: 2, iif: 'lo', protocol: 'icmp', action: PLAINLY },
    ...podRanges.flatMap((from) =>
      PROTOCOLS.map((protocol): Rule => ({ pref: 8, iif, from, protocol, action: STEER })),
    ),
    { pref: 9, to, iif, protocol: 'icmp', action: PLAINLY },
    ...ports.flatMap((dports) =>
      ['tcp', 'udp', 'sctp'].map(
        (protocol): Rule => ({ pref: 9, to, iif, protocol, dports, action: PLAINLY }),
      ),
    ),
  ];
  return rules.map((rule) => `rule ${verb} ${formatRule(rule)}`);
}
