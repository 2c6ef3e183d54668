// What upstream fills in for Deployments and ReplicaSets: pkg/apis/apps/v1/defaults.go.

import type { KubeObject } from '../../kube/object.ts';
import { defaultPod } from './defaults.ts';

const ROLLING_SHARE = '25%';

export function defaultReplicaSet(object: KubeObject): void {
  object.spec ??= {};
  const { spec } = object;
  spec.replicas ??= 1;
  defaultTemplate(spec);
}

export function defaultDeployment(object: KubeObject): void {
  defaultReplicaSet(object);
  const { spec } = object;
  spec.strategy ??= {};
  const { strategy } = spec;
  strategy.type ||= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    strategy.rollingUpdate = {
      maxUnavailable: ROLLING_SHARE,
      maxSurge: ROLLING_SHARE,
      ...strategy.rollingUpdate,
    };
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
}

/**
 * A template that is written out with all its defaults is the same one: its hash must not tell them
 * apart.
 */
// biome-ignore lint/suspicious/noExplicitAny: what clients sent; types are checked by the schema before.
function defaultTemplate(spec: any): void {
  if (!spec.template) return;
  spec.template.metadata ??= {};
  // Clients written in Go send the time that they do not have.
  if (!spec.template.metadata.creationTimestamp) delete spec.template.metadata.creationTimestamp;
  defaultPod(spec.template);
}
