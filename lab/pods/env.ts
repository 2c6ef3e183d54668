// The environment of a container.
import type { Pod } from '../../control/kube/kinds.ts';

interface Variable {
  name: string;
  value?: string;
  valueFrom?: { fieldRef?: { fieldPath: string } };
}

const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Variables as the container sees them; `$(NAME)` of those before it is filled in, `$$` is a dollar. */
export function buildEnv(
  variables: Variable[],
  pod: Pod,
  given: { podIP: string; hostIP: string; hostname: string },
): Record<string, string> {
  const env: Record<string, string> = {
    PATH: PATH_DEFAULT,
    HOME: '/root',
    HOSTNAME: given.hostname,
  };
  for (const { name, value, valueFrom } of variables) {
    const field = valueFrom?.fieldRef?.fieldPath;
    env[name] = field ? readField(field, pod, given) : expand(value ?? '', env);
  }
  return env;
}

/** Fills in `$(NAME)`; an unknown name stays as it is, as upstream leaves it. */
export function expand(text: string, env: Record<string, string>): string {
  return text.replace(/\$\$|\$\(([\w.-]+)\)/g, (match, name: string | undefined) => {
    if (name === undefined) return '$';
    return Object.hasOwn(env, name) ? env[name]! : match;
  });
}

/** A field of the downward API. */
function readField(path: string, pod: Pod, given: { podIP: string; hostIP: string }): string {
  const { metadata, spec } = pod;
  const labelled = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (labelled) return metadata?.[labelled[1] as 'labels' | 'annotations']?.[labelled[2]!] ?? '';
  const fields: Record<string, string | undefined> = {
    'metadata.name': metadata?.name,
    'metadata.namespace': metadata?.namespace,
    'metadata.uid': metadata?.uid,
    'spec.nodeName': spec?.nodeName,
    'spec.serviceAccountName': spec?.serviceAccountName,
    'status.podIP': given.podIP,
    'status.podIPs': given.podIP,
    'status.hostIP': given.hostIP,
    'status.hostIPs': given.hostIP,
  };
  return fields[path] ?? '';
}
