// Objects by which one author could take nodes down: what else there is goes on, and deleting them leaves nothing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ServiceDescription } from '../../control/agent/describe.ts';
import type { NetworkPolicy, Service } from '../../control/kube/kinds.ts';
import { formatAddress } from '../../datapath/wire/address.ts';
import { collidingAddresses } from '../support/colliding.ts';
import { kubetun, startLab, type TestLab, until } from '../support/lab.ts';

const NAME = 'e2e-hostile-objects';
const BLOCKS = 30_000;
const NODE = 'node1';
const DAY = 86_400_000;
const PATIENCE_MS = 60_000;

let lab: TestLab;
let api = '';

const pod = (name: string) => ({
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } } },
  spec: {
    ...{ nodeName: NODE, terminationGracePeriodSeconds: 0 },
    containers: [{ name: 'main', image: 'agnhost', args: ['netexec', '--http-port=8080'] }],
  },
});

const service = (name: string, externalIPs: string[]): Service => ({
  metadata: { namespace: 'default', name },
  spec: { selector: { app: 'web' }, externalIPs, ports: [{ port: 80, targetPort: 8080 }] },
});

const policy = (name: string, cidrs: string[]): NetworkPolicy => ({
  metadata: { namespace: 'default', name },
  spec: {
    podSelector: { matchLabels: { app: 'nobody' } },
    policyTypes: ['Egress'],
    egress: [{ to: cidrs.map((cidr) => ({ ipBlock: { cidr } })) }],
  },
});

const services = (): ServiceDescription[] =>
  JSON.parse(kubetun('services', '--lab', NAME, '--node', NODE, '-o', 'json').stdout);
const described = (name: string) =>
  services().find((one) => one.service.startsWith(`default/${name}`));

/** Addresses of unicast that collide under the public hash that images once had. */
function collide(second: number): string[] {
  const addresses = collidingAddresses(128, second).filter((a) => a >>> 0 < 0xe000_0000);
  const usable = addresses.map(formatAddress).filter((text) => !/^(0|127|10|169|172)\./.test(text));
  assert.ok(usable.length >= 66, `${usable.length} addresses`);
  return usable.slice(0, 66);
}

/** The node answers for its health, keeps its agent, and a Service answers a pod. */
async function goesOn(pid: number): Promise<void> {
  const health = lab.exec(`node/${NODE}`, ['curl', '-s', '-m', '2', '-w', '%{http_code}', '-o', '/dev/null', 'http://127.0.0.1:10256/healthz']);
  assert.equal(health.stdout, '200');
  assert.equal((await lab.ask<{ pid: number }>(NODE, '/status')).pid, pid, 'the same agent');
  const { clusterIP } = (await lab.kube.get('Service', { namespace: 'default', name: 'web' })).spec!;
  const answer = lab.exec('client', ['curl', '-s', '-m', '5', `http://${clusterIP}/hostname`]);
  assert.equal(answer.stdout, 'web', answer.stderr);
}
