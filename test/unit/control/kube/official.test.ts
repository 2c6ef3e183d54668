// What is taken from the official client, and that no more of it is loaded.
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { test } from 'node:test';

const loaded: string[] = [];
const hooks = registerHooks({
  load(url, context, next) {
    loaded.push(url);
    return next(url, context);
  },
});
const { connectKube } = await import('../../../../control/kube/client.ts');
const { decodeObject } = await import('../../../../control/kube/decode.ts');
const { attributesOfModel } = await import('../../../../control/kube/models.ts');
hooks.deregister();

test('a client and a decoder load no generated API calls', () => {
  assert.ok(connectKube);
  decodeObject('Pod', { metadata: { name: 'a' } });
  const calls = loaded.filter((url) => /client-node\/dist\/(gen\/apis|index\.js)|undici/.test(url));
  assert.deepEqual(calls, []);
});

test('every model has the fields of the official client, which still has its API calls', async () => {
  const client = await import('@kubernetes/client-node');
  const config = new client.KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'c', server: 'http://127.0.0.1:1', skipTLSVerify: true },
    { name: 'u' },
  );
  assert.ok(config.makeApiClient(client.CoreV1Api).listNode);
  let models = 0;
  for (const [name, type] of Object.entries(client)) {
    const fields = (type as { getAttributeTypeMap?(): object[] }).getAttributeTypeMap?.();
    if (!fields) continue;
    assert.deepEqual(attributesOfModel(name), fields, name);
    models++;
  }
  assert.ok(models > 700, `${models} models`);
});
