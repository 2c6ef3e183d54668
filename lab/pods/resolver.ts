/** /etc/resolv.conf of a pod with dnsPolicy ClusterFirst (SPEC 4). */
export function resolverText(namespace: string, dnsAddress: string): string {
  const cluster = 'svc.cluster.local';
  return [
    `nameserver ${dnsAddress}`,
    `search ${namespace}.${cluster} ${cluster} cluster.local`,
    'options ndots:5',
    '',
  ].join('\n');
}
