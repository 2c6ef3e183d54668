// StatefulSets, DaemonSets, Jobs and CronJobs as the API takes and shows them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeMessage } from '../../../../control/apiserver/http/protobuf.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const AT: Record<string, string> = {
  StatefulSet: '/apis/apps/v1/namespaces/default/statefulsets',
  DaemonSet: '/apis/apps/v1/namespaces/default/daemonsets',
  Job: '/apis/batch/v1/namespaces/default/jobs',
  CronJob: '/apis/batch/v1/namespaces/default/cronjobs',
};
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const containers = [{ name: 'main', image: 'pause' }];
const selected = (name: string) => ({
  selector: { matchLabels: { app: name } },
  template: { metadata: { labels: { app: name } }, spec: { containers } },
});
const jobSpec = (template: object = {}) => ({
  template: { spec: { restartPolicy: 'Never', containers, ...template } },
});

/** A valid object with these fields of its spec instead. */
function objectOf(kind: string, name: string, spec: object): object {
  const own: Record<string, object> = {
    StatefulSet: { replicas: 0, ...selected(name) },
    DaemonSet: selected(name),
    Job: { suspend: true, ...jobSpec() },
    CronJob: { schedule: '*/5 * * * *', suspend: true, jobTemplate: { spec: jobSpec() } },
  };
  return { metadata: { name }, spec: { ...own[kind], ...spec } };
}

const create = (kind: string, name: string, spec: object = {}) =>
  api.call('POST', AT[kind]!, objectOf(kind, name, spec));

test("a DaemonSet has upstream's defaults", async () => {
  const { body } = await create('DaemonSet', 'plain');
  const { selector: _, template: __, ...spec } = body.spec;
  const rollingUpdate = { maxUnavailable: 1, maxSurge: 0 };
  assert.deepEqual(spec, {
    updateStrategy: { type: 'RollingUpdate', rollingUpdate },
    revisionHistoryLimit: 10,
  });
});

test("a Job has upstream's defaults, and a selector of its own", async () => {
  const { body } = await create('Job', 'plain', { suspend: undefined });
  const { selector, template, ...spec } = body.spec;
  assert.deepEqual(spec, {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    suspend: false,
    podReplacementPolicy: 'TerminatingOrFailed',
  });
  const { uid } = body.metadata;
  assert.deepEqual(selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } });
  assert.deepEqual(template.metadata.labels, {
    'batch.kubernetes.io/controller-uid': uid,
    'controller-uid': uid,
    'batch.kubernetes.io/job-name': 'plain',
    'job-name': 'plain',
  });
  const changed = await api.call(
    'PATCH',
    `${AT.Job}/plain`,
    { spec: { parallelism: 2 } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(changed.code, 200, changed.body.message);
});

test("a CronJob has upstream's defaults", async () => {
  const { body } = await create('CronJob', 'plain', { suspend: undefined });
  const { jobTemplate, ...spec } = body.spec;
  assert.deepEqual(spec, {
    schedule: '*/5 * * * *',
    concurrencyPolicy: 'Allow',
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
  });
  assert.equal(jobTemplate.spec.template.spec.dnsPolicy, 'ClusterFirst');
  assert.equal(jobTemplate.spec.selector, undefined);
});

const failJob = { action: 'FailJob', onExitCodes: { operator: 'In', values: [0] } };
const never = { podFailurePolicy: { rules: [failJob] } };
const refused: [kind: string, spec: object, field: string, text: RegExp][] = [
  ['DaemonSet', { selector: {} }, 'spec.selector', /empty selector is invalid for daemonset/],
  [
    'DaemonSet',
    { updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } },
    'spec.updateStrategy.rollingUpdate.maxUnavailable',
    /cannot be 0 when maxSurge is 0/,
  ],
  [
    'DaemonSet',
    { updateStrategy: { rollingUpdate: { maxSurge: '50%' } } },
    'spec.updateStrategy.rollingUpdate.maxSurge',
    /may not be set when maxUnavailable is non-zero/,
  ],
  ['Job', { completions: -1 }, 'spec.completions', /greater than or equal to 0/],
  [
    'Job',
    { completionMode: 'Indexed', parallelism: 1 },
    'spec.completions',
    /when completion mode/,
  ],
  ['Job', { completionMode: 'X' }, 'spec.completionMode', /"Indexed", "NonIndexed"/],
  ['Job', { backoffLimitPerIndex: 1 }, 'spec.backoffLimitPerIndex', /not served/],
  [
    'Job',
    jobSpec({ restartPolicy: 'Always' }),
    'spec.template.spec.restartPolicy',
    /valid values: "OnFailure", "Never"/,
  ],
  ['Job', never, 'spec.podFailurePolicy.rules[0].onExitCodes.values', /must not be 0/],
  ['CronJob', { schedule: '60 * * * *' }, 'spec.schedule', /minute: 60/],
  ['CronJob', { timeZone: 'Mars/Base' }, 'spec.timeZone', /unknown time zone Mars\/Base/],
  ['CronJob', { concurrencyPolicy: 'X' }, 'spec.concurrencyPolicy', /"Allow", "Forbid"/],
  ['CronJob', { startingDeadlineSeconds: -1 }, 'spec.startingDeadlineSeconds', /greater than/],
  [
    'CronJob',
    { jobTemplate: { spec: jobSpec({ restartPolicy: 'Always' }) } },
    'spec.jobTemplate.spec.template.spec.restartPolicy',
    /valid values/,
  ],
];

for (const [i, [kind, spec, field, text]] of refused.entries()) {
  test(`${kind} ${JSON.stringify(spec)} is refused by ${field}`, async () => {
    const { code, body } = await create(kind, `bad-${i}`, spec);
    assert.equal(code, 422, body.message);
    const cause = body.details.causes.find((c: { field: string }) => c.field === field);
    assert.match(cause?.message ?? JSON.stringify(body.details.causes), text);
  });
}

test('a name of a CronJob leaves room for the minute', async () => {
  const { code, body } = await create('CronJob', 'x'.repeat(53));
  assert.equal(code, 422);
  assert.match(body.message, /no more than 52 characters/);
});

const frozen: [kind: string, change: object, text: RegExp][] = [
  ['DaemonSet', { selector: { matchLabels: { app: 'other' } } }, /field is immutable/],
  ['Job', { completions: 7 }, /spec.completions: .*field is immutable/],
];
for (const [kind, change, text] of frozen) {
  test(`${kind} cannot change ${Object.keys(change)[0]}`, async () => {
    const name = `frozen-${kind.toLowerCase()}`;
    await create(kind, name);
    const type = { 'content-type': 'application/merge-patch+json' };
    const { code, body } = await api.call('PATCH', `${AT[kind]}/${name}`, { spec: change }, type);
    assert.equal(code, 422, JSON.stringify(body));
    assert.match(body.message, text);
  });
}

const rows: [kind: string, spec: object, cells: Record<string, unknown>][] = [
  ['DaemonSet', {}, { Desired: 0, 'Node Selector': '<none>' }],
  ['Job', { completions: 3 }, { Status: 'Suspended', Completions: '0/3', Duration: '' }],
  ['Job', { parallelism: 2 }, { Completions: '0/1 of 2' }],
  [
    'CronJob',
    { timeZone: 'Asia/Tokyo' },
    {
      ...{ Schedule: '*/5 * * * *', Timezone: 'Asia/Tokyo', Suspend: 'True', Active: 0 },
      'Last Schedule': '<none>',
    },
  ],
];
for (const [i, [kind, spec, cells]] of rows.entries()) {
  test(`${kind} ${JSON.stringify(spec)} in a table`, async () => {
    const name = `row-${i}`;
    await create(kind, name, spec);
    await api.call('GET', `${AT[kind]}/${name}`);
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const { body } = await api.call('GET', `${AT[kind]}/${name}`, undefined, { accept });
    const names: string[] = body.columnDefinitions.map((c: { name: string }) => c.name);
    const shown = Object.fromEntries(names.map((n, at) => [n, body.rows[0].cells[at]]));
    for (const [column, cell] of Object.entries(cells)) assert.equal(shown[column], cell, column);
    assert.ok(names.includes('Containers'), 'wide');
  });
}

test('containers of a StatefulSet mount its claims', async () => {
  const mounted = [{ ...containers[0], volumeMounts: [{ name: 'data', mountPath: '/data' }] }];
  const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };
  const { template, selector } = selected('mounts');
  const spec = { selector, template: { ...template, spec: { containers: mounted } } };
  const claims = { volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: claim }] };
  const good = await create('StatefulSet', 'mounts', { ...spec, ...claims });
  assert.equal(good.code, 201, good.body.message);
  const bad = await create('StatefulSet', 'mounts-none', spec);
  assert.match(bad.body.message, /volumeMounts\[0\].name: Not found: "data"/);
});

test('a Job and a CronJob are read from protobuf', () => {
  const bytes = (...parts: (number | string)[]) =>
    Buffer.concat(parts.map((p) => (typeof p === 'number' ? Buffer.from([p]) : Buffer.from(p))));
  const job = bytes(0x08, 2, 0x10, 3, 0x38, 0, 0x4a, 7, 'Indexed', 0x50, 1);
  assert.deepEqual(decodeMessage('JobSpec', job), {
    ...{ parallelism: 2, completions: 3, backoffLimit: 0, completionMode: 'Indexed' },
    suspend: true,
  });
  const cron = bytes(0x0a, 9, '* * * * *', 0x42, 3, 'UTC', 0x30, 0);
  assert.deepEqual(decodeMessage('CronJobSpec', cron), {
    schedule: '* * * * *',
    timeZone: 'UTC',
    successfulJobsHistoryLimit: 0,
  });
});
