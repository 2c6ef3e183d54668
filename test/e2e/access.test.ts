// A client without the token gets nothing from the API server, from any place.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { kubeconfigPath } from '../../lab/places/paths.ts';
import { clientPod, type TestLab } from '../support/lab.ts';
import { takeLab } from '../support/shared-lab.ts';

const PATHS = [
  '/',
  '/api/v1/secrets',
  '/api/v1/namespaces/default/pods/client/log',
  '/api/v1/pods?watch=true',
  '/apis',
  '/healthz',
  '/openapi/v2',
  '/version',
];
let lab: TestLab;

/** Status code and body of a request from a place of the lab. */
async function ask(
  from: string,
  url: string,
  ...more: string[]
): Promise<[code: string, body: string]> {
  const text = await lab.run(from, 'curl', '-skm5', '-w', '\n%{http_code}', ...more, url);
  const cut = text.lastIndexOf('\n');
  return [text.slice(cut + 1), text.slice(0, cut)];
}

describe('the API server', () => {
  before(async () => {
    lab = await takeLab('e2e-auth', [clientPod('client', 'node1')]);
  });
  after(() => lab.down());

  for (const [what, url] of [
    ['its own address', 'https://172.18.0.1:6443'],
    ['the Service kubernetes', 'https://10.96.0.1'],
  ] as const) {
    test(`refuses every path to a pod that connects to ${what}`, async () => {
      for (const path of PATHS) {
        const [code, body] = await ask('client', `${url}${path}`);
        assert.equal(code, '401', path);
        const { kind, reason, ...rest } = JSON.parse(body) as Record<string, unknown>;
        assert.deepEqual([kind, reason], ['Status', 'Unauthorized'], path);
        assert.ok(!('items' in rest));
      }
    });
  }

  test('refuses a wrong token, a part of the right one, other schemes, and writes', async () => {
    const token = /token: (\S+)/.exec(readFileSync(kubeconfigPath(lab.name), 'utf8'))![1]!;
    const url = 'https://10.96.0.1/api/v1/namespaces/default/configmaps';
    const wrong = [
      'Bearer wrong',
      'Bearer ',
      `Bearer ${token.slice(0, -1)}`,
      `Basic ${Buffer.from(`admin:${token}`).toString('base64')}`,
      token,
    ];
    for (const value of wrong) {
      const [code] = await ask('client', url, '-H', `Authorization: ${value}`);
      assert.equal(code, '401', value);
      const body = JSON.stringify({ metadata: { name: 'intruder' } });
      const json = ['-H', 'content-type: application/json', '-d', body];
      const [written] = await ask('client', url, '-H', `Authorization: ${value}`, ...json);
      assert.equal(written, '401', value);
    }
    assert.equal((await ask('client', `${url}?token=${token}`))[0], '401');
    const { items } = await lab.kube.list('ConfigMap', { namespace: 'default' });
    assert.ok(items.every(({ metadata }) => metadata?.name !== 'intruder'));
    const [code] = await ask('client', url, '-H', `Authorization: Bearer ${token}`);
    assert.equal(code, '200', 'the right token is accepted');
  });

  test('opens no stream without the token', async () => {
    const upgrade = ['-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket', '--http1.1'];
    const key = [
      '-H',
      'Sec-WebSocket-Version: 13',
      '-H',
      'Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==',
    ];
    const protocol = ['-H', 'Sec-WebSocket-Protocol: v5.channel.k8s.io'];
    const url =
      'https://10.96.0.1/api/v1/namespaces/default/pods/client/exec?command=id&stdout=true';
    const [code] = await ask('client', url, ...upgrade, ...key, ...protocol);
    assert.equal(code, '401');
  });

  test('leaves no key where a pod can read it', async () => {
    const found = await lab.run(
      'client',
      'sh',
      '-c',
      'ls -A /run /var/run/secrets 2>/dev/null; true',
    );
    assert.doesNotMatch(found, /kubetun|token|serviceaccount/);
    const env = await lab.run('client', 'env');
    assert.doesNotMatch(env, /TOKEN|KUBECONFIG/);
  });
});
