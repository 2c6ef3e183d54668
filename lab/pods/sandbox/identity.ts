// The user and groups of a container.
import { readFileSync } from 'node:fs';
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import { WaitReason } from '../given/env.ts';

export interface Identity {
  uid: number;
  gid: number;
  /** Supplementary groups. */
  groups: number[];
  /** Sets no_new_privs: programs with the set-user-ID bit run without the rights of their owner. */
  noNewPrivileges: boolean;
}

export const ROOT: Identity = { uid: 0, gid: 0, groups: [], noNewPrivileges: false };

/** True if a process needs no change of its user. */
export function isPlainRoot({ uid, gid, groups, noNewPrivileges }: Identity): boolean {
  return uid === 0 && gid === 0 && groups.length === 0 && !noNewPrivileges;
}

/**
 * The user of a container, from its security context, the pod's, and the machine's /etc/passwd and
 * /etc/group, which are also the container's. Every image of the lab runs as root by default.
 * Throws WaitReason if that is not allowed. Source: pkg/kubelet/kuberuntime/security_context.go.
 */
export function identityOf(container: Container, pod: Pod): Identity & { home: string } {
  const ofPod = pod.spec?.securityContext ?? {};
  const own = container.securityContext ?? {};
  const uid = own.runAsUser ?? ofPod.runAsUser;
  if ((own.runAsNonRoot ?? ofPod.runAsNonRoot) && (uid ?? 0) === 0) {
    const { name, namespace, uid: id } = pod.metadata ?? {};
    const where = `(pod: "${name}_${namespace}(${id})", container: ${container.name})`;
    const why =
      uid === 0
        ? "container's runAsUser breaks non-root policy"
        : 'container has runAsNonRoot and image will run as root';
    throw new WaitReason('CreateContainerConfigError', `${why} ${where}`);
  }
  const user = userOf(uid ?? 0);
  const { fsGroup, supplementalGroups = [], supplementalGroupsPolicy } = ofPod;
  const ofUser = supplementalGroupsPolicy === 'Strict' ? [] : groupsOf(user.name);
  const given = [...supplementalGroups, ...(fsGroup === undefined ? [] : [fsGroup])];
  return {
    uid: uid ?? 0,
    gid: own.runAsGroup ?? ofPod.runAsGroup ?? user.gid,
    groups: [...new Set([...ofUser, ...given])],
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    home: user.home,
  };
}

/** Options of setpriv. The bounding set is apart. */
export function identityOptions(identity: Identity): string[] {
  if (isPlainRoot(identity)) return [];
  const { uid, gid, groups, noNewPrivileges } = identity;
  return [
    ...[`--reuid=${uid}`, `--regid=${gid}`],
    groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups',
    ...(noNewPrivileges ? ['--no-new-privs'] : []),
  ];
}

/** The effective user of a process, from its `/proc/PID/status`. */
export function identityIn(status: string): Identity {
  const numbers = (name: string) =>
    (new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? '')
      .split(/\s+/)
      .filter(Boolean)
      .map(Number);
  return {
    uid: numbers('Uid')[1] ?? 0,
    gid: numbers('Gid')[1] ?? 0,
    groups: numbers('Groups'),
    noNewPrivileges: numbers('NoNewPrivs')[0] === 1,
  };
}

function userOf(uid: number): { name: string | null; gid: number; home: string } {
  const found = linesOf('/etc/passwd').find(([, , id]) => Number(id) === uid);
  const [name = null, , , gid = 0, , home = '/'] = found ?? [];
  return { name, gid: Number(gid), home };
}

/** Groups that list a user. */
function groupsOf(name: string | null): number[] {
  if (name === null) return [];
  return linesOf('/etc/group').flatMap(([, , gid, members = '']) =>
    members.split(',').includes(name) ? [Number(gid)] : [],
  );
}

function linesOf(path: string): string[][] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(':'));
  } catch {
    // Without the file no user has a name.
    return [];
  }
}
