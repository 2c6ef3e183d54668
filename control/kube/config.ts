// Access to an API server: a kubeconfig, or the account of a pod.
import { existsSync, readFileSync } from 'node:fs';
import type { OutgoingHttpHeaders } from 'node:http';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { KubetunError } from '../../datapath/error.ts';
import { KubeConfig } from './kube-config.ts';

/** Overrides of the kubeconfig. */
export interface KubeAccess {
  /** A context other than the current one. */
  context?: string;
  /** A base address in place of the one in the kubeconfig or the pod's environment. */
  server?: string;
  /** Folder that replaces / in the path of the pod's account. */
  root?: string;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const NEXT = 'give a readable kubeconfig with --kubeconfig FILE';

/**
 * Reads a kubeconfig, or with null the account of this pod. Each request reads files of tokens,
 * keys and certificates again, so they can be rotated. Throws KubetunError KT_KUBECONFIG.
 */
export function loadKubeConfig(path: string | null, access: KubeAccess): KubeConfig {
  const config = path === null ? loadAccount(access) : loadFile(path);
  config.addAuthenticator(new TokenFileAuth());
  const name = path ?? 'the in-cluster account';
  if (access.context !== undefined) {
    const known = config.getContexts().map((context) => context.name);
    if (!known.includes(access.context)) {
      throw new KubetunError(
        'KT_KUBECONFIG',
        `${name} has no context ${access.context}`,
        `its contexts are ${known.join(', ') || 'none'}`,
      );
    }
    config.setCurrentContext(access.context);
  }
  const cluster = config.getCurrentCluster();
  if (!cluster?.server || !config.getCurrentUser()) {
    throw new KubetunError(
      'KT_KUBECONFIG',
      `${name} names no current cluster and user`,
      'set current-context in it, or choose one with --context',
    );
  }
  if (access.server !== undefined) {
    config.clusters = config.clusters.map((c) =>
      c === cluster ? { ...c, server: access.server! } : c,
    );
  }
  return config;
}

function loadFile(path: string): KubeConfig {
  const config = new KubeConfig();
  try {
    const text = readFileSync(path, 'utf8');
    config.loadFromString(text);
    const folder = dirname(path);
    config.makePathsAbsolute(folder);
    addTokenFiles(config, text, folder);
    for (const user of config.users) informPlugin(user.exec);
    return config;
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const line = error instanceof Error ? error.message.split('\n')[0] : String(error);
    const why = absent ? 'the file does not exist' : line;
    throw new KubetunError('KT_KUBECONFIG', `${path}: ${why}`, NEXT, { cause: error });
  }
}

function loadAccount({ root = '', server }: KubeAccess): KubeConfig {
  const refuse = (why: string): never => {
    throw new KubetunError(
      'KT_KUBECONFIG',
      `no service account of a pod is mounted here (${why})`,
      NEXT,
    );
  };
  if (server === undefined && !process.env.KUBERNETES_SERVICE_HOST) {
    refuse('KUBERNETES_SERVICE_HOST is not set');
  }
  const token = `${root}${ACCOUNT}/token`;
  if (!existsSync(token)) refuse(`${token} does not exist`);
  const config = new KubeConfig();
  config.loadFromCluster(root);
  config.users = config.users.map((user) => ({ ...user, authProvider: tokenFile(token) }));
  return config;
}

const PROVIDER = 'kubetun-token-file';

function tokenFile(path: string) {
  return { name: PROVIDER, config: { path } };
}

/** The client ignores `tokenFile`. As for kubectl, it takes precedence over `token`. */
function addTokenFiles(config: KubeConfig, text: string, folder: string): void {
  const { users } = parse(text) as { users?: { name: string; user?: { tokenFile?: string } }[] };
  config.users = config.users.map((user) => {
    const path = users?.find(({ name }) => name === user.name)?.user?.tokenFile;
    if (!path) return user;
    return { ...user, token: undefined, authProvider: tokenFile(resolve(folder, path)) };
  });
}

interface PluginVariable {
  name: string;
  value: string;
}

/** Sets the variable that client-go sets for exec plugins. Some plugins need it. */
function informPlugin(
  exec: { apiVersion?: string; env?: PluginVariable[] | null } | null | undefined,
): void {
  if (!exec) return;
  const { apiVersion } = exec;
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  exec.env = [{ name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }, ...(exec.env ?? [])];
}

/** The official client reads the file once a minute and sends its line feed too. */
class TokenFileAuth {
  isAuthProvider(user: { authProvider?: { name?: string } }): boolean {
    return user.authProvider?.name === PROVIDER;
  }

  async applyAuthentication(
    user: { authProvider?: { config?: { path: string } } },
    options: { headers?: OutgoingHttpHeaders | readonly string[] },
  ): Promise<void> {
    const token = readFileSync(user.authProvider!.config!.path, 'utf8').trim();
    (options.headers as OutgoingHttpHeaders).Authorization = `Bearer ${token}`;
  }
}
