// The rules of Services and of connection tracking that users rely on. Each one has scenario rows
// in the YAML files of this folder, which start with its id, or tests named here. coverage.test.ts
// checks the list against both.

/** A rule, and its tests besides scenario rows: `file under test/: the test's name`. */
export interface Rule {
  id: string;
  says: string;
  by: string[];
}

const rule = (id: string, says: string, ...by: string[]): Rule => ({ id, says, by });
const PIPELINE = 'unit/datapath/pipeline';
const ROWS = 'unit/control/model/rows.test.ts';
const SERVER = 'unit/control/apiserver';

export const SERVICE_RULES: Rule[] = [
  rule('captured.cluster-ip', 'a ClusterIP is captured'),
  rule('captured.external-ip', 'externalIPs are captured'),
  rule('captured.load-balancer', 'load balancer addresses with ipMode nil or VIP are captured'),
  rule('captured.ip-mode-proxy', 'those with ipMode Proxy are not captured'),
  rule('captured.node-port', "NodePorts are captured on the node's primary address"),
  rule(
    'captured.not-headless',
    'a headless Service is not captured, nor one with the label headless',
  ),
  rule('captured.not-external-name', 'an ExternalName Service is not captured'),
  rule(
    'captured.not-other-proxy',
    'a Service with service-proxy-name of another proxy is not captured',
  ),
  rule(
    'select.random',
    'any eligible endpoint, evenly',
    `${PIPELINE}/services.test.ts: selection is even`,
  ),
  rule('select.protocol', 'TCP, UDP and SCTP select alike; protocols can share a port number'),
  rule(
    'select.named-port',
    'targetPort by name, resolved per pod',
    'unit/control/controllers/endpoints.test.ts: pods that differ in a named port',
  ),
  rule('eligible.ready', 'ready endpoints; an absent condition means ready'),
  rule('eligible.terminating', 'terminating endpoints that serve, if none is ready'),
  rule('eligible.sets-apart', 'decided separately for the Cluster and the Local set'),
  rule('hints.zone', 'zone hints, if every ready endpoint has them and one matches'),
  rule('hints.node', 'node hints precede zone hints'),
  rule('hints.incomplete', 'incomplete hints are ignored'),
  rule('hints.local', 'Local traffic policies ignore hints'),
  rule(
    'hints.made',
    'trafficDistribution becomes hints',
    'unit/control/controllers/placement.test.ts: hints follow trafficDistribution',
  ),
  rule(
    'eligible.publish-not-ready',
    'publishNotReadyAddresses makes endpoints ready',
    'unit/control/controllers/endpoints.test.ts: publishNotReadyAddresses makes every endpoint ready',
  ),
  rule('eligible.union', 'overlapping slices are a union; ready in any is ready'),
  rule(
    'internal-local',
    'internalTrafficPolicy Local: endpoints of this node; a drop if only others have some',
  ),
  rule('external-cluster', 'externalTrafficPolicy Cluster: all endpoints, always masqueraded'),
  rule(
    'external-local.outside',
    'Local, from outside: endpoints of this node, no masquerade; a drop if only others have some',
  ),
  rule('external-local.pod', 'Local, from a pod: all endpoints, not masqueraded'),
  rule('external-local.node', 'Local, from the node: all endpoints, masqueraded'),
  rule('masquerade.hairpin', 'the chosen endpoint is the source'),
  rule('masquerade.outside', 'a source outside the pod range to a ClusterIP, the node included'),
  rule('masquerade.egress', 'from a pod to an address outside the cluster'),
  rule('masquerade.not', 'never from pod to pod; from a pod to a ClusterIP only as a hairpin'),
  rule(
    'masquerade.port',
    'a random free port of the SNAT range, never the source port',
    `${PIPELINE}/limits.test.ts: SNAT ports are in the range`,
    `${PIPELINE}/snat.test.ts: a masquerade port is random`,
  ),
  rule(
    'masquerade.own-ports',
    "the node's own sockets stay below the SNAT range",
    'unit/lab/plan.test.ts: a node keeps its own sockets below',
    "unit/control/node/preflight.test.ts: 'KT_EPHEMERAL_PORTS', { ephemeralPorts: [32_768, 60_999] }",
  ),
  rule(
    'reject.no-endpoint',
    'no endpoint anywhere: refused at once, RST or port unreachable',
    `${PIPELINE}/services.test.ts: without an endpoint the client gets an RST`,
    `${PIPELINE}/services.test.ts: a refused UDP datagram is quoted`,
    `${PIPELINE}/refuse.test.ts: protocols other than TCP`,
  ),
  rule(
    'reject.flows-stay',
    'only packets without a flow are refused: connections outlive the last endpoint',
    `${PIPELINE}/stale.test.ts: TCP and SCTP flows stay`,
  ),
  rule(
    'reject.silent',
    'packets that must not get an answer are dropped: RST, ICMP, a source that is no host',
    `${PIPELINE}/refuse.test.ts: is not answered`,
  ),
  rule('reject.wrong-port', 'a wrong port or protocol of a ClusterIP, echo included, is refused'),
  rule(
    'reject.midstream',
    'a TCP segment other than a SYN to a frontend, without a flow: RST',
    `${PIPELINE}/services.test.ts: a segment to a frontend without a flow`,
    `${PIPELINE}/refuse.test.ts: SYN and ACK`,
  ),
  rule('drop.unallocated', 'a packet to an unused address of the Service range is dropped'),
  rule(
    'affinity.client',
    'ClientIP: all connections of a client to one endpoint',
    `${PIPELINE}/affinity.test.ts: a client keeps its endpoint`,
  ),
  rule(
    'affinity.key',
    'by client and Service port, on every protocol',
    `${PIPELINE}/affinity.test.ts: each Service port has its own choice`,
  ),
  rule(
    'affinity.timeout',
    '10800 s by default, 1 to 86400; refreshed by each new connection',
    `${PIPELINE}/affinity.test.ts: a choice expires at its timeout`,
    `${PIPELINE}/affinity.test.ts: a new connection renews the timeout`,
    `${ROWS}: policies and affinity`,
  ),
  rule(
    'affinity.endpoint-gone',
    'the entry is removed when its endpoint is no longer eligible',
    `${PIPELINE}/affinity.test.ts: an endpoint that is no longer eligible`,
  ),
  rule(
    'affinity.restart',
    'it survives a restart of the agent',
    `${PIPELINE}/affinity.test.ts: the next agent keeps the choices`,
  ),
  rule(
    'affinity.full',
    'without room the client is counted and its endpoint is random',
    `${PIPELINE}/affinity.test.ts: without room the choice is random`,
  ),
  rule(
    'ranges.load-balancer',
    'loadBalancerSourceRanges hold for load balancer addresses, for pods too',
  ),
  rule(
    'ranges.balancer',
    "the lab's balancer enforces them too",
    `${PIPELINE}/gateway.test.ts: source ranges are enforced`,
  ),
  rule('ranges.not-others', 'they do not hold for NodePorts, ClusterIPs and externalIPs'),
  rule('ranges.spaces', 'entries may have spaces; unreadable ones are ignored'),
  rule(
    'health.node-port',
    'healthCheckNodePort: 200 with a ready local endpoint, else 503',
    'unit/control/health/health.test.ts: a Service is healthy on a node',
  ),
  rule(
    'health.answer',
    'the body and the header X-Load-Balancing-Endpoint-Weight',
    'unit/control/health/health.test.ts: a Service is healthy on a node',
  ),
  rule(
    'health.healthz',
    '/healthz: 503 if changes wait for over 60 s, or the Node is in deletion',
    'unit/control/health/health.test.ts: the node is not healthy',
  ),
  rule(
    'health.livez',
    '/livez ignores the state of the Node',
    'unit/control/health/health.test.ts: fails healthz but not livez',
  ),
  rule(
    'allocate.no-node-ports',
    'allocateLoadBalancerNodePorts false: the load balancer address is captured by every node',
    `${SERVER}/allocation.test.ts: a load balancer without allocated node ports`,
    `${PIPELINE}/gateway.test.ts: a frontend that every node captures passes`,
  ),
  rule(
    'allocate.node-port',
    'NodePorts 30000-32767, dynamic from 30086; TCP and UDP share one',
    `${SERVER}/allocation.test.ts: dynamic node ports start at 30086`,
  ),
  rule(
    'allocate.health-port',
    'a load balancer with policy Local gets a healthCheckNodePort',
    `${SERVER}/allocation.test.ts: a load balancer with policy Local gets`,
  ),
  rule(
    'allocate.cluster-ip',
    'ClusterIPs from above the static band',
    `${SERVER}/allocation.test.ts: dynamic addresses lie above the band`,
    `${SERVER}/allocation.test.ts: above min(max(16, size/16), 256)`,
  ),
  rule(
    'allocate.errors',
    "refused with upstream's messages",
    `${SERVER}/allocation.test.ts: a node port has one Service`,
    `${SERVER}/verbs.test.ts: a node port outside the range`,
  ),
  rule(
    'clean-up.udp',
    'UDP flows to a removed endpoint are deleted, TCP and SCTP flows stay',
    `${PIPELINE}/stale.test.ts: a client with a fixed port moves`,
    `${PIPELINE}/stale.test.ts: a client of a NodePort moves`,
    `${PIPELINE}/stale.test.ts: TCP and SCTP flows stay`,
  ),
  rule(
    'clean-up.udp-no-endpoint',
    'also when the Service has no endpoint left, or is deleted',
    `${PIPELINE}/stale.test.ts: refuses a flow whose last endpoint is gone`,
  ),
  rule(
    'clean-up.serving',
    'an endpoint that still serves keeps its flows',
    `${PIPELINE}/stale.test.ts: an endpoint that terminates and serves`,
  ),
  rule(
    'clean-up.before-dnat',
    'UDP flows from before the Service had DNAT are deleted',
    `${PIPELINE}/stale.test.ts: a flow from before the Service`,
  ),
  rule(
    'clean-up.syn',
    'an unanswered SYN does not stay with a removed endpoint',
    `${PIPELINE}/stale.test.ts: an unanswered SYN`,
  ),
];

export const FLOW_RULES: Rule[] = [
  rule(
    'flow.two-sides',
    'one entry, two sides',
    'unit/datapath/flow/table.test.ts: finds both sides of a flow',
  ),
  rule(
    'flow.echo',
    'ICMP echo has flows by identifier',
    `${PIPELINE}/services.test.ts: an echo to the outside is masqueraded by its identifier`,
  ),
  rule(
    'icmp.gateway',
    'the gateway drops unrelated errors and redirects; its own carry the address of the side they leave on',
    `${PIPELINE}/gateway-icmp.test.ts: sends an error about`,
    `${PIPELINE}/gateway-icmp.test.ts: is dropped and counted`,
    `${PIPELINE}/gateway-icmp.test.ts: redirects and source quenches are dropped`,
  ),
  rule(
    'icmp.by-another-node',
    "a node's error about a masqueraded client reaches it by way of the node that masqueraded it",
    `${PIPELINE}/icmp-error.test.ts: error about a masqueraded client`,
  ),
  rule(
    'refuse.rate',
    'refusals are limited in rate',
    `${PIPELINE}/refuse.test.ts: the rate of refusals is limited`,
  ),
  rule(
    'refuse.checksum',
    'a packet with a bad transport checksum is never refused, and forwarded with the error kept',
    `${PIPELINE}/refuse.test.ts: with a wrong checksum is not refused`,
    `${PIPELINE}/refuse.test.ts: a damaged packet that is forwarded`,
  ),
  rule(
    'tcp.states',
    "the kernel's table of states",
    `${PIPELINE}/tcp.test.ts: an orderly close is`,
    'unit/datapath/flow/state.test.ts: the ten TCP states',
  ),
  rule(
    'tcp.simultaneous-open',
    'both sides send SYN',
    `${PIPELINE}/tcp.test.ts: simultaneous open goes`,
  ),
  rule(
    'tcp.pick-up',
    'mid-stream flows that need no NAT are picked up',
    `${PIPELINE}/services.test.ts: mid-stream: pod to pod is picked up`,
    `${PIPELINE}/tcp.test.ts: a segment other than a plain ACK`,
  ),
  rule(
    'tcp.window',
    'nothing is dropped for its window',
    `${PIPELINE}/tcp.test.ts: no segment is dropped for its sequence`,
  ),
  rule(
    'tcp.remembered-syn',
    'a SYN that a flow ignores is remembered; the SYN-ACK or RST that answers it counts',
    `${PIPELINE}/tcp.test.ts: a SYN over a connection that the ends forgot`,
    `${PIPELINE}/tcp.test.ts: a connection that starts in LAST_ACK`,
    'model/tcp-states.test.ts: random walks of TCP segments move the states',
  ),
  rule(
    'tcp.renewal',
    'a packet without effect renews no timeout',
    `${PIPELINE}/tcp.test.ts: passes and renews nothing`,
  ),
  rule(
    'tcp.blind-rst',
    'a blind RST closes nothing',
    `${PIPELINE}/tcp.test.ts: a blind RST passes`,
  ),
  rule(
    'tcp.reopen',
    'a SYN reopens a closed flow',
    `${PIPELINE}/tcp.test.ts: a SYN after TIME_WAIT opens`,
  ),
  rule(
    'tcp.retransmission',
    'a retransmission changes nothing',
    `${PIPELINE}/tcp.test.ts: repeated segments`,
  ),
  rule(
    'timeout.states',
    'each state lives as long as the table says',
    'unit/datapath/flow/timeouts.test.ts: each state has its timeout',
    'unit/datapath/flow/timeouts.test.ts: s and no longer',
  ),
  rule(
    'timeout.names',
    'all of them can be set',
    'unit/datapath/flow/timeouts.test.ts: sets the timeouts of its states',
    'e2e/topology.test.ts: sets timeouts, which conntrack list shows',
  ),
  rule(
    'timeout.days',
    'timeouts of days, in virtual time',
    'unit/datapath/flow/expire.test.ts: a stream of one direction that lasts for weeks',
    'unit/datapath/flow/timeouts.test.ts: the longest timeout works',
  ),
  rule(
    'udp.stream',
    'a stream once replied to and active after 2 s',
    `${PIPELINE}/limits.test.ts: replied UDP that lasts beyond 2 s`,
    `${PIPELINE}/limits.test.ts: replied UDP that lasts less than 2 s`,
  ),
  rule(
    'sctp.association',
    'an association once answered',
    `${PIPELINE}/limits.test.ts: an SCTP association is assured`,
  ),
  rule(
    'table.capacity',
    '1,048,576 flows by default',
    'unit/datapath/arena/layout.test.ts: an arena of the default size has 222 MiB',
  ),
  rule(
    'table.full',
    'unreplied and closing first, established never, refusals counted',
    `${PIPELINE}/limits.test.ts: refuses a new flow when the table is full`,
    `${PIPELINE}/limits.test.ts: evicts unreplied flows`,
    `${PIPELINE}/limits.test.ts: evicts closed connections`,
  ),
  rule(
    'table.expiry',
    'a bounded slice each tick',
    `${PIPELINE}/limits.test.ts: expiry visits a bounded part`,
  ),
  rule(
    'snat.ports',
    'the table is the allocator: one port for different destinations',
    `${PIPELINE}/limits.test.ts: SNAT ports are in the range`,
  ),
  rule(
    'snat.collision',
    'two connections that would collide both work',
    `${PIPELINE}/services.test.ts: two Services with a common backend`,
    `${PIPELINE}/snat.test.ts: UDP and SCTP from one port to two Services`,
  ),
  rule(
    'udp.concurrent',
    'simultaneous first datagrams create one entry',
    `${PIPELINE}/stale.test.ts: simultaneous first datagrams`,
  ),
  rule(
    'icmp.errors',
    'translated inside and outside, both ways',
    `${PIPELINE}/icmp-error.test.ts: an error about`,
    `${PIPELINE}/icmp-error.test.ts: error about a reply goes to the endpoint`,
  ),
  rule(
    'icmp.no-refresh',
    'neither refresh nor delete the flow',
    `${PIPELINE}/icmp-error.test.ts: an error neither refreshes nor ends`,
  ),
  rule(
    'icmp.unrelated',
    'on a node an error that matches no flow is forwarded unchanged',
    `${PIPELINE}/icmp-error.test.ts: an error that matches no flow`,
  ),
  rule(
    'icmp.path-mtu',
    'path MTU discovery works through every kind of translation',
    'e2e/path-mtu.test.ts: TCP: ',
    'e2e/path-mtu.test.ts: UDP: ',
  ),
  rule(
    'fragments.order',
    'in any order',
    `${PIPELINE}/fragments.test.ts: arrive complete with the right sum`,
  ),
  rule(
    'fragments.limits',
    'limits and drops are counted',
    `${PIPELINE}/fragments.test.ts: early pieces wait a second`,
  ),
  rule(
    'fragments.sctp',
    'a first fragment with an impossible CRC is dropped',
    `${PIPELINE}/fragments.test.ts: SCTP in pieces`,
  ),
  rule(
    'packet.ttl',
    'a node lowers the TTL by one, except for packets that it sends or receives itself',
    `${PIPELINE}/services.test.ts: NodePort is always masqueraded`,
    `${PIPELINE}/icmp-error.test.ts: an error that matches no flow`,
    `${PIPELINE}/tcp.test.ts: a segment other than a plain ACK`,
    `${PIPELINE}/translate.test.ts: packets of and to the node itself`,
  ),
  rule(
    'packet.sums',
    'every written checksum is correct, full or partial',
    'model/checksum.test.ts: packets leave the pipeline with correct full or partial checksums',
  ),
  rule(
    'packet.bad',
    'bad lengths, sums and flags are dropped by reason',
    `${PIPELINE}/parse.test.ts: is dropped as`,
  ),
  rule(
    'gateway.one-to-one',
    'a node address and its public one, for all protocols, without state',
    `${PIPELINE}/gateway.test.ts: rewrites the addresses`,
    `${PIPELINE}/gateway.test.ts: all protocols pass`,
  ),
  rule(
    'gateway.fragments',
    'fragments included',
    `${PIPELINE}/gateway.test.ts: fragments in any order`,
  ),
  rule(
    'gateway.foreign',
    'a source that is no node is dropped and counted',
    `${PIPELINE}/gateway.test.ts: a pod that was not masqueraded`,
  ),
  rule(
    'gateway.errors',
    'ICMP errors are translated; unrelated ones are dropped',
    `${PIPELINE}/gateway.test.ts: an error about an outgoing packet`,
    `${PIPELINE}/gateway.test.ts: an error about an incoming packet`,
    `${PIPELINE}/gateway.test.ts: unrelated errors`,
  ),
  rule(
    'gateway.balancer',
    'balancer flows are looked up before the one-to-one translation',
    `${PIPELINE}/gateway.test.ts: a client reaches a NodePort`,
  ),
  rule('packet.options', 'IP options survive', `${PIPELINE}/parse.test.ts: IP options stay`),
];
