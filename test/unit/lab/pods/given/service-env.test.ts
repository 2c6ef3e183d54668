import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ServiceRow, serviceEnv } from '../../../../../lab/pods/given/service-env.ts';

function service(namespace: string, name: string, clusterIP: string, change = {}): ServiceRow {
  return {
    namespace,
    name,
    clusterIP,
    ports: [{ name: '', port: 80, protocol: 'TCP' }],
    ...change,
  };
}

const API = service('default', 'kubernetes', '10.96.0.1', {
  ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
});

test("a Service has upstream's variables", () => {
  const ports = [
    { name: 'p', port: 6379, protocol: 'TCP' },
    { name: 'dns-q', port: 53, protocol: 'UDP' },
  ];
  const { env } = serviceEnv(
    [service('shop', 'redis-master', '10.0.0.11', { ports })],
    'shop',
    true,
  );
  assert.deepEqual(env, {
    REDIS_MASTER_SERVICE_HOST: '10.0.0.11',
    REDIS_MASTER_SERVICE_PORT: '6379',
    REDIS_MASTER_SERVICE_PORT_P: '6379',
    REDIS_MASTER_SERVICE_PORT_DNS_Q: '53',
    REDIS_MASTER_PORT: 'tcp://10.0.0.11:6379',
    REDIS_MASTER_PORT_6379_TCP: 'tcp://10.0.0.11:6379',
    REDIS_MASTER_PORT_6379_TCP_PROTO: 'tcp',
    REDIS_MASTER_PORT_6379_TCP_PORT: '6379',
    REDIS_MASTER_PORT_6379_TCP_ADDR: '10.0.0.11',
    REDIS_MASTER_PORT_53_UDP: 'udp://10.0.0.11:53',
    REDIS_MASTER_PORT_53_UDP_PROTO: 'udp',
    REDIS_MASTER_PORT_53_UDP_PORT: '53',
    REDIS_MASTER_PORT_53_UDP_ADDR: '10.0.0.11',
  });
});

test('leaves out Services without address or of other namespaces, except kubernetes', () => {
  const services = [
    API,
    service('other', 'far', '10.96.0.2'),
    service('shop', 'headless', 'None'),
    service('shop', 'pending', ''),
    service('shop', 'near', '10.96.0.3'),
  ];
  const hosts = (links: boolean) =>
    Object.keys(serviceEnv(services, 'shop', links).env).filter((key) => /SERVICE_HOST$/.test(key));
  assert.deepEqual(hosts(true), ['KUBERNETES_SERVICE_HOST', 'NEAR_SERVICE_HOST']);
  assert.deepEqual(hosts(false), ['KUBERNETES_SERVICE_HOST']);
});

test("a Service kubernetes in the pod's namespace wins", () => {
  const own = service('shop', 'kubernetes', '10.96.0.9');
  assert.equal(serviceEnv([own, API], 'shop', true).env.KUBERNETES_SERVICE_HOST, '10.96.0.9');
});

test("reports and leaves out Services that exceed the environment's limit", () => {
  const many = Array.from({ length: 10_000 }, (_, i) =>
    service('shop', `service-${i}`, '10.96.1.1'),
  );
  const { env, leftOut } = serviceEnv([API, ...many], 'shop', true);
  assert.equal(leftOut, true);
  assert.ok(env.KUBERNETES_SERVICE_HOST && !env.SERVICE_1_SERVICE_HOST);
  assert.equal(serviceEnv([API, ...many], 'shop', false).leftOut, false);
});
