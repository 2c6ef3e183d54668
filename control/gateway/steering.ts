// Which packets of a gateway pass its TUN device: all that it forwards. As opposed to a node its
// own addresses are nobody else's, so that local delivery is looked up first, ARP's look-ups with
// it, and no rule has to name protocols.
import { MAIN, PREF_LOCAL_FIRST, STEER, TABLE } from '../node/rule.ts';
import { QUEUE_PACKETS, type SteeringPlan, tunSysctls } from '../node/steering.ts';

export interface GatewaySteeringInput {
  /** The TUN device. */
  tun: string;
  /** The device that leads to the nodes, and its MTU in bytes. */
  uplink: string;
  mtu: number;
  /** The gateway's own address towards the nodes. */
  address: string;
  /** Where the nodes are. */
  fabricRange: string;
  publicRange: string;
}

/** What makes a gateway of a network namespace that has a device inside and one outside. */
export function planGatewaySteering(input: GatewaySteeringInput): SteeringPlan {
  const { tun, uplink, mtu, address, fabricRange, publicRange } = input;
  return {
    setup: [
      `link set dev ${tun} mtu ${mtu} txqueuelen ${QUEUE_PACKETS} up`,
      `route replace default dev ${tun} src ${address} table ${TABLE}`,
    ],
    rules: [
      { pref: 1, iif: tun, action: MAIN },
      // The kernel's ICMP errors quote translated packets: to nodes by their public addresses, and
      // to anyone outside.
      { pref: 2, iif: 'lo', to: publicRange, action: STEER },
      { pref: 3, iif: 'lo', to: fabricRange, action: MAIN },
      { pref: 4, iif: 'lo', protocol: 'icmp', action: STEER },
      { pref: 5, iif: 'lo', action: MAIN },
      // A source of the inside comes from there and from nowhere else.
      { pref: 6, from: fabricRange, iif: uplink, action: STEER },
      { pref: 7, from: fabricRange, action: 'blackhole' },
      { pref: 8, action: STEER },
    ],
    localPref: PREF_LOCAL_FIRST,
    // One connection, one node, where a load balancer's address goes to several.
    sysctls: [...tunSysctls(tun), ['fib_multipath_hash_policy', '1']],
  };
}
