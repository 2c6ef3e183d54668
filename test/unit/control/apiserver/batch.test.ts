// Jobs, CronJobs and DaemonSets as the API takes and shows them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeMessage } from '../../../../control/apiserver/http/protobuf.ts';
import { startTestApi, type TestApi } from '../../../support/api-server.ts';

const JOBS = '/apis/batch/v1/namespaces/default/jobs';
const CRONJOBS = '/apis/batch/v1/namespaces/default/cronjobs';
const DAEMONSETS = '/apis/apps/v1/namespaces/default/daemonsets';
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
let api: TestApi;

before(async () => {
  api = await startTestApi();
});
after(() => api.close());

const CONTAINERS = [{ name: 'main', image: 'pause' }];
const ended = (more: object = {}) => ({
  template: { spec: { containers: CONTAINERS, restartPolicy: 'Never', ...more } },
});
const job = (name: string, spec: object = {}, template: object = {}) => ({
  metadata: { name },
  spec: { suspend: true, ...ended(template), ...spec },
});
const cronJob = (name: string, spec: object = {}, jobSpec: object = {}) => ({
  metadata: { name },
  spec: { schedule: '0 0 * * *', jobTemplate: { spec: { ...ended(), ...jobSpec } }, ...spec },
});
const daemonSet = (name: string, spec: object = {}, template: object = {}) => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: CONTAINERS, ...template },
    },
    ...spec,
  },
});
const rolling = (maxUnavailable: unknown, maxSurge: unknown) => ({
  updateStrategy: { rollingUpdate: { maxUnavailable, maxSurge } },
});

test("a Job has upstream's defaults, labels and selector", async () => {
  const { code, body } = await api.call('POST', JOBS, job('plain', { suspend: undefined }));
  assert.equal(code, 201);
  const { template, selector, ...spec } = body.spec;
  assert.deepEqual(spec, {
    ...{ parallelism: 1, completions: 1, backoffLimit: 6, completionMode: 'NonIndexed' },
    ...{ suspend: false, manualSelector: false, podReplacementPolicy: 'TerminatingOrFailed' },
  });
  const { uid } = body.metadata;
  assert.deepEqual(selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } });
  assert.deepEqual(template.metadata.labels, {
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': 'plain',
    'controller-uid': uid,
    'job-name': 'plain',
  });
  const many = await api.call('POST', JOBS, job('many', { parallelism: 3 }));
  assert.equal(many.body.spec.completions, undefined);
});

test("a CronJob has upstream's defaults and leaves the defaults of its Jobs open", async () => {
  const { code, body } = await api.call('POST', CRONJOBS, cronJob('plain'));
  assert.equal(code, 201);
  const { jobTemplate, ...spec } = body.spec;
  assert.deepEqual(spec, {
    ...{ schedule: '0 0 * * *', concurrencyPolicy: 'Allow', suspend: false },
    ...{ successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1 },
  });
  assert.equal(jobTemplate.spec.backoffLimit, undefined);
  assert.equal(jobTemplate.spec.template.spec.dnsPolicy, 'ClusterFirst');
});

test("a DaemonSet has upstream's defaults, and counts changes of its template", async () => {
  const { code, body } = await api.call('POST', DAEMONSETS, daemonSet('plain'));
  assert.equal(code, 201);
  const { template: _, selector: __, ...spec } = body.spec;
  assert.deepEqual(spec, {
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    revisionHistoryLimit: 10,
  });
  const generation = 'deprecated.daemonset.template.generation';
  assert.equal(body.metadata.annotations[generation], '1');
  const merge = { 'content-type': 'application/merge-patch+json' };
  const patch = (change: object) =>
    api.call('PATCH', `${DAEMONSETS}/plain`, { spec: change }, merge);
  assert.equal((await patch({ minReadySeconds: 1 })).body.metadata.annotations[generation], '1');
  const hostNetwork = { template: { spec: { hostNetwork: true } } };
  assert.equal((await patch(hostNetwork)).body.metadata.annotations[generation], '2');
});

const always = (spec: object) => job('x', spec, { restartPolicy: 'Always' });
const indexed = { completionMode: 'Indexed', completions: 3 };
const policy = (rule: object) => ({ podFailurePolicy: { rules: [rule] } });
const codes = (operator: string, values: number[], more: object = {}) => ({
  onExitCodes: { operator, values, ...more },
});

const REFUSED: [what: string, path: string, object: object, message: RegExp][] = [
  [
    'a Job whose pods never end',
    JOBS,
    always({}),
    /restartPolicy: Required value: valid values: "OnFailure", "Never"$/,
  ],
  [
    'a negative parallelism',
    JOBS,
    job('x', { parallelism: -1 }),
    /spec.parallelism: Invalid value: -1: must be greater than or equal to 0$/,
  ],
  [
    'a negative backoffLimit',
    JOBS,
    job('x', { backoffLimit: -1 }),
    /spec.backoffLimit: Invalid value: -1/,
  ],
  [
    'a negative deadline',
    JOBS,
    job('x', { activeDeadlineSeconds: -1 }),
    /spec.activeDeadlineSeconds: /,
  ],
  [
    'a negative TTL',
    JOBS,
    job('x', { ttlSecondsAfterFinished: -1 }),
    /spec.ttlSecondsAfterFinished: /,
  ],
  [
    'Indexed without completions',
    JOBS,
    job('x', { completionMode: 'Indexed', parallelism: 1 }),
    /spec.completions: Required value: when completion mode is Indexed$/,
  ],
  [
    'an unknown completion mode',
    JOBS,
    job('x', { completionMode: 'Odd' }),
    /spec.completionMode: Unsupported value: "Odd": supported values: "Indexed", "NonIndexed"$/,
  ],
  [
    'a selector that the client makes up',
    JOBS,
    job('x', { selector: { matchLabels: { a: 'b' } } }),
    /spec.selector: Invalid value: .*: `selector` not auto-generated$/,
  ],
  [
    'a limit per index without indexes',
    JOBS,
    job('x', { backoffLimitPerIndex: 1 }),
    /spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode$/,
  ],
  [
    'maxFailedIndexes alone',
    JOBS,
    job('x', { ...indexed, maxFailedIndexes: 1 }),
    /spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified$/,
  ],
  [
    'a success policy without indexes',
    JOBS,
    job('x', { successPolicy: { rules: [{ succeededCount: 1 }] } }),
    /spec.successPolicy: Invalid value: .*requires indexed completion mode$/,
  ],
  [
    'a rule of success beyond the indexes',
    JOBS,
    job('x', { ...indexed, successPolicy: { rules: [{ succeededIndexes: '1-5' }] } }),
    /succeededIndexes: Invalid value: "1-5"/,
  ],
  [
    'an exit code of 0',
    JOBS,
    job('x', policy({ action: 'Ignore', ...codes('In', [0]) })),
    /values\[0\]: Invalid value: 0: must not be 0 for the In operator$/,
  ],
  [
    'exit codes out of order',
    JOBS,
    job('x', policy({ action: 'Ignore', ...codes('In', [3, 2]) })),
    /values: Invalid value: \[3,2\]: must be ordered$/,
  ],
  [
    'exit codes of an unknown container',
    JOBS,
    job('x', policy({ action: 'Ignore', ...codes('In', [3], { containerName: 'y' }) })),
    /must be one of the container or initContainer names in the pod template$/,
  ],
  [
    'a rule about nothing',
    JOBS,
    job('x', policy({ action: 'Ignore' })),
    /specifying one of OnExitCodes and OnPodConditions is required$/,
  ],
  [
    'an unknown action',
    JOBS,
    job('x', policy({ action: 'Odd', ...codes('In', [3]) })),
    /action: Unsupported value: "Odd": supported values: "Count", "FailIndex", "FailJob", "Ignore"$/,
  ],
  [
    'a failure policy with restarts',
    JOBS,
    job('x', policy({ action: 'Ignore', ...codes('In', [3]) }), { restartPolicy: 'OnFailure' }),
    /only "Never" is supported when podFailurePolicy is specified$/,
  ],
  [
    'a replacement that the failure policy excludes',
    JOBS,
    job('x', {
      ...policy({ action: 'Ignore', ...codes('In', [3]) }),
      podReplacementPolicy: 'TerminatingOrFailed',
    }),
    /podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"$/,
  ],
  [
    'a name too long for the hosts of an indexed Job',
    JOBS,
    job('a'.repeat(62), indexed),
    /metadata.name: Invalid value/,
  ],
  [
    'a schedule that is none',
    CRONJOBS,
    cronJob('x', { schedule: '* * *' }),
    /spec.schedule: Invalid value: "\* \* \*": expected exactly 5 fields, found 3/,
  ],
  [
    'a time zone in the schedule',
    CRONJOBS,
    cronJob('x', { schedule: 'TZ=UTC 0 0 * * *' }),
    /cannot use TZ or CRON_TZ in schedule, use timeZone field instead$/,
  ],
  [
    'an unknown time zone',
    CRONJOBS,
    cronJob('x', { timeZone: 'Europe/Atlantis' }),
    /spec.timeZone: Invalid value: "Europe\/Atlantis": unknown time zone Europe\/Atlantis$/,
  ],
  [
    'the local time zone',
    CRONJOBS,
    cronJob('x', { timeZone: 'Local' }),
    /spec.timeZone: .*must be an explicit time zone/,
  ],
  [
    'a time zone in another case',
    CRONJOBS,
    cronJob('x', { timeZone: 'europe/berlin' }),
    /spec.timeZone: Invalid value: "europe\/berlin": unknown time zone europe\/berlin$/,
  ],
  [
    'an offset as time zone',
    CRONJOBS,
    cronJob('x', { timeZone: '+02:00' }),
    /spec.timeZone: Invalid value: "\+02:00": unknown time zone \+02:00$/,
  ],
  [
    'a selector of a Job without manualSelector',
    JOBS,
    job('x', {
      selector: { matchLabels: { app: 'x' } },
      template: { metadata: { labels: { app: 'x' } }, ...ended().template },
    }),
    /spec.selector: Invalid value: .*: `selector` not auto-generated/,
  ],
  [
    'an expression in the selector of a Job without manualSelector',
    JOBS,
    job('x', { selector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } }),
    /spec.selector: Invalid value: .*: `selector` not auto-generated/,
  ],
  [
    'a label of another Job in the template of a Job',
    JOBS,
    job('x', { template: { metadata: { labels: { 'job-name': 'y' } }, ...ended().template } }),
    /spec.template.metadata.labels\[job-name\]: Invalid value: .*: must be 'x'/,
  ],
  [
    'a selector in the template of a CronJob',
    CRONJOBS,
    cronJob('x', {}, { selector: { matchLabels: { app: 'x' } } }),
    /spec.jobTemplate.spec.selector: Invalid value: .*: `selector` will be auto-generated/,
  ],
  [
    'an unknown concurrency',
    CRONJOBS,
    cronJob('x', { concurrencyPolicy: 'Odd' }),
    /spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", "Forbid", "Replace"$/,
  ],
  [
    'a negative history limit',
    CRONJOBS,
    cronJob('x', { failedJobsHistoryLimit: -1 }),
    /spec.failedJobsHistoryLimit: Invalid value: -1/,
  ],
  [
    'a negative starting deadline',
    CRONJOBS,
    cronJob('x', { startingDeadlineSeconds: -1 }),
    /spec.startingDeadlineSeconds: /,
  ],
  [
    'a CronJob with a name of 53 letters',
    CRONJOBS,
    cronJob('a'.repeat(53)),
    /metadata.name: .*must be no more than 52 characters$/,
  ],
  [
    'a selector of its Jobs',
    CRONJOBS,
    cronJob('x', {}, { manualSelector: true }),
    /jobTemplate.spec.manualSelector: Unsupported value: true/,
  ],
  [
    'a Job template whose pods never end',
    CRONJOBS,
    cronJob('x', {}, ended({ restartPolicy: 'Always' })),
    /spec.jobTemplate.spec.template.spec.restartPolicy: Required value/,
  ],
  [
    'a DaemonSet that selects other pods',
    DAEMONSETS,
    daemonSet('x', { selector: { matchLabels: { app: 'y' } } }),
    /`selector` does not match template `labels`$/,
  ],
  [
    'a DaemonSet that selects all',
    DAEMONSETS,
    daemonSet('x', { selector: {} }),
    /empty selector is invalid for daemonset/,
  ],
  [
    'a DaemonSet whose pods end',
    DAEMONSETS,
    daemonSet('x', {}, { restartPolicy: 'Never' }),
    /restartPolicy: Unsupported value: "Never": supported values: "Always"$/,
  ],
  [
    'a DaemonSet with a deadline',
    DAEMONSETS,
    daemonSet('x', {}, { activeDeadlineSeconds: 5 }),
    /activeDeadlineSeconds in DaemonSet is not Supported$/,
  ],
  [
    'neither surge nor unavailable pods',
    DAEMONSETS,
    daemonSet('x', rolling(0, 0)),
    /maxUnavailable: Required value: cannot be 0 when maxSurge is 0$/,
  ],
  [
    'both of them',
    DAEMONSETS,
    daemonSet('x', rolling(1, '10%')),
    /maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero$/,
  ],
  [
    'more than all',
    DAEMONSETS,
    daemonSet('x', rolling(0, '101%')),
    /maxSurge: Invalid value: "101%": must not be greater than 100%$/,
  ],
  [
    'an unknown update strategy',
    DAEMONSETS,
    daemonSet('x', { updateStrategy: { type: 'Odd' } }),
    /updateStrategy.type: Unsupported value: "Odd": supported values: "OnDelete", "RollingUpdate"$/,
  ],
];

for (const [what, path, object, message] of REFUSED) {
  test(`refuses ${what}`, async () => {
    const { code, body } = await api.call('POST', path, object);
    assert.equal(code, 422, JSON.stringify(body));
    const [first] = body.details.causes;
    assert.match(`${first.field}: ${first.message}`, message);
  });
}

test('the template of a Job is immutable, except for its placement while the Job waits', async () => {
  const path = `${JOBS}/fixed`;
  await api.call('POST', JOBS, job('fixed', { ...indexed, parallelism: 2 }));
  const merge = { 'content-type': 'application/merge-patch+json' };
  const patch = (spec: object) => api.call('PATCH', path, { spec }, merge);
  const refusal = async (spec: object) => (await patch(spec)).body.message ?? '';
  assert.match(await refusal({ completions: 9 }), /spec.completions: .*field is immutable/);
  assert.equal((await patch({ completions: 4, parallelism: 4 })).code, 200, 'elastic indexes');
  assert.match(await refusal({ selector: { matchLabels: null } }), /spec.selector: .*immutable/);
  const image = { spec: { containers: [{ name: 'main', image: 'other' }] } };
  assert.match(await refusal({ template: image }), /spec.template: .*field is immutable/);
  const place = { spec: { nodeSelector: { disk: 'ssd' } } };
  assert.equal((await patch({ template: place })).code, 200);
  await patch({ suspend: false });
  assert.match(await refusal({ template: { spec: { nodeSelector: null } } }), /spec.template: /);
});

test('discovery lists the short names and no scale subresource', async () => {
  const { body } = await api.call('GET', '/apis/batch/v1');
  const names = body.resources.map(
    ({ name, shortNames = [] }: { name: string; shortNames?: string[] }) => [name, ...shortNames],
  );
  assert.deepEqual(names, [['jobs'], ['jobs/status'], ['cronjobs', 'cj'], ['cronjobs/status']]);
  const apps = (await api.call('GET', '/apis/apps/v1')).body.resources;
  const find = (name: string) => apps.find((row: { name: string }) => row.name === name);
  assert.deepEqual(find('daemonsets').shortNames, ['ds']);
  assert.equal(find('daemonsets/scale'), undefined);
});

async function cells(path: string, name: string): Promise<[string[], unknown[]]> {
  const { body } = await api.call('GET', `${path}/${name}`, undefined, TABLE);
  const shown = body.columnDefinitions
    .map(({ name: column, priority }: { name: string; priority: number }, at: number) => ({
      column,
      priority,
      at,
    }))
    .filter(
      ({ priority, column }: { priority: number; column: string }) =>
        priority === 0 && column !== 'Age',
    );
  return [
    shown.map(({ column }: { column: string }) => column),
    shown.map(({ at }: { at: number }) => body.rows[0].cells[at]),
  ];
}

test("tables have upstream's columns", async () => {
  await api.call('POST', JOBS, job('shown', { completions: 3 }));
  await api.call('POST', CRONJOBS, cronJob('shown', { timeZone: 'Asia/Tokyo' }));
  await api.call('POST', DAEMONSETS, daemonSet('shown', {}, { nodeSelector: { disk: 'ssd' } }));
  // The controllers work between two requests.
  while (!(await api.call('GET', `${JOBS}/shown`)).body.status.conditions);
  while ((await api.call('GET', `${DAEMONSETS}/shown`)).body.status.observedGeneration !== 1);
  assert.deepEqual(await cells(JOBS, 'shown'), [
    ['Name', 'Status', 'Completions', 'Duration'],
    ['shown', 'Suspended', '0/3', ''],
  ]);
  assert.deepEqual(await cells(CRONJOBS, 'shown'), [
    ['Name', 'Schedule', 'Timezone', 'Suspend', 'Active', 'Last Schedule'],
    ['shown', '0 0 * * *', 'Asia/Tokyo', 'False', 0, '<none>'],
  ]);
  assert.deepEqual(await cells(DAEMONSETS, 'shown'), [
    ['Name', 'Desired', 'Current', 'Ready', 'Up-to-date', 'Available', 'Node Selector'],
    ['shown', 0, 0, 0, 0, 0, 'disk=ssd'],
  ]);
  const revisions = '/apis/apps/v1/namespaces/default/controllerrevisions';
  const { body } = await api.call('GET', revisions);
  const revision = body.items.find((item: { metadata: { name: string } }) =>
    item.metadata.name.startsWith('shown-'),
  );
  assert.deepEqual(await cells(revisions, revision.metadata.name), [
    ['Name', 'Controller', 'Revision'],
    [revision.metadata.name, 'daemonset.apps/shown', 1],
  ]);
});

test('all three kinds can be applied twice on the server side, and report a conflict', async () => {
  const kinds: [string, string, string, object, object][] = [
    [JOBS, 'batch/v1', 'Job', job('applied'), { parallelism: 2 }],
    [CRONJOBS, 'batch/v1', 'CronJob', cronJob('applied'), { schedule: '1 1 * * *' }],
    [DAEMONSETS, 'apps/v1', 'DaemonSet', daemonSet('applied'), { minReadySeconds: 3 }],
  ];
  for (const [path, apiVersion, kind, object, change] of kinds) {
    const given = object as { metadata: object; spec: object };
    const patch = (manager: string, spec: object) =>
      api.call(
        'PATCH',
        `${path}/applied?fieldManager=${manager}`,
        { apiVersion, kind, ...given, spec },
        { 'content-type': 'application/apply-patch+yaml' },
      );
    assert.equal((await patch('one', given.spec)).code, 201, kind);
    assert.equal((await patch('one', { ...given.spec, ...change })).code, 200, kind);
    const values = Object.keys(change).map((field) => [
      field,
      field === 'schedule' ? '2 2 * * *' : 9,
    ]);
    const { code } = await patch('two', { ...given.spec, ...Object.fromEntries(values) });
    assert.equal(code, 409, `${kind}: another manager owns the field`);
  }
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
