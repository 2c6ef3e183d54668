import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeMessage, openEnvelope } from '../../../../../control/apiserver/http/protobuf.ts';
import { StatusError } from '../../../../../control/apiserver/status.ts';

/** A Deployment as kubectl 1.33 sends it, without its envelope. */
const DEPLOYMENT = Buffer.from(
  '0a1b0a016412001a0022002a0032003800420042005a080a03617070120164128d010800120a0a080a036170701201641a750a1a0a0012001a0022002a003200380042005a080a03617070120164125712390a057061757365120570617573651a0273681a022d631a01782a00320a0a001000185022002a0042006a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a00280038001a0c0800100018002000280038001a002200',
  'hex',
);

/** The decoded value, or the refusal. Any other error fails the test. */
function outcome(decode: () => unknown): unknown {
  try {
    return decode();
  } catch (error) {
    assert.ok(error instanceof StatusError, (error as Error).stack);
    assert.equal(error.code, 400);
    return error;
  }
}

test('random bytes are decoded or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      outcome(() => decodeMessage('Deployment', Buffer.from(bytes)));
      outcome(() => openEnvelope(Buffer.concat([Buffer.from('k8s\0'), bytes])));
    }),
    { numRuns: 5000 },
  );
});

test('a message with one damaged byte is decoded or refused', () => {
  fc.assert(
    fc.property(fc.nat(DEPLOYMENT.length - 1), fc.nat(255), (at, value) => {
      const bytes = Buffer.from(DEPLOYMENT);
      bytes[at] = value;
      outcome(() => decodeMessage('Deployment', bytes));
    }),
    { numRuns: 5000 },
  );
});

const varint = (...bytes: number[]) => Buffer.from(bytes);

test('empty fields are left out, except pointers', () => {
  // `immutable` is a pointer in Go, `publishNotReadyAddresses` is not.
  assert.deepEqual(decodeMessage('ConfigMap', varint(0x20, 0)), { immutable: false });
  assert.deepEqual(decodeMessage('ServiceSpec', varint(0x68, 0)), {});
  assert.deepEqual(decodeMessage('DeploymentSpec', varint(0x08, 0)), { replicas: 0 });
});

test('times, quantities and IntOrString values are plain values', () => {
  const time = decodeMessage('ObjectMeta', varint(0x42, 2, 0x08, 60));
  assert.deepEqual(time, { creationTimestamp: '1970-01-01T00:01:00Z' });
  const text = decodeMessage('ServicePort', Buffer.from('\x22\x06\x08\x01\x1a\x02ab'));
  assert.deepEqual(text, { targetPort: 'ab' });
  const limits = Buffer.from('\x0a\x0b\x0a\x03cpu\x12\x04\x0a\x0250');
  assert.deepEqual(decodeMessage('ResourceRequirements', limits), { limits: { cpu: '50' } });
});
