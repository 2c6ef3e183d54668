// Launches a container: environment, mounts, log, process.
import type { Container, Pod } from '../../../control/kube/kinds.ts';
import type { ProcessId } from '../../host/process.ts';
import { logName } from '../../logs/files.ts';
import type { Given } from '../given/downward.ts';
import { buildEnv, envSources, expand } from '../given/env.ts';
import { mountsOf } from '../given/mounts.ts';
import { serviceEnv } from '../given/service-env.ts';
import { fetchSources } from '../given/sources.ts';
import type { Surroundings } from '../given/surroundings.ts';
import { volumesFolder } from '../given/volumes.ts';
import { withCapabilities } from '../sandbox/capabilities.ts';
import { identityOf } from '../sandbox/identity.ts';
import { RootError, startContainer } from '../sandbox/sandbox.ts';
import type { Launched, PodContext } from './context.ts';
import { missingProgram, type Program } from './images.ts';
import { inputFile, makeInput, messageFile, mountMessage } from './message.ts';

/** What a launch gets from its pod. */
export interface LaunchPad {
  pod: Pod;
  context: PodContext;
  surroundings: Surroundings;
  given: Given;
  /** PID 1 of the pod. It is restarted if it has died. */
  sandbox: () => Promise<ProcessId>;
  /** Called before the process is started and recorded. */
  onStarting: () => void;
  /** Called once every process has been recorded. */
  onStarted: () => void;
  /** Reports what is left out of the container's environment. */
  onLack: (reason: string, message: string) => void;
}

/**
 * Starts a container. Rejects with WaitReason if an object that it refers to or its program is
 * missing, or if it must not run as its user.
 */
export async function launchContainer(
  spec: Container,
  program: Program,
  pad: LaunchPad,
): Promise<Launched> {
  const { pod, context, surroundings, given } = pad;
  const { stateDir, projectRoot } = context;
  const { namespace, name, uid } = pod.metadata as { namespace: string; name: string; uid: string };
  const identity = identityOf(spec, pod);
  const sources = await fetchSources(context.kube, namespace, envSources(spec));
  const base = { HOME: identity.home, ...linksOf(pad, namespace) };
  const env = buildEnv(spec, pod, given, sources, base);
  const folder = volumesFolder(stateDir, uid);
  const mounts = [
    ...mountsOf(spec, pod.spec?.volumes ?? [], folder, env),
    mountMessage(spec, messageFile(stateDir, uid, spec.name)),
  ];
  const words = program.argv.map((word) => expand(word, env));
  const command = withCapabilities(spec, words, identity);
  const sandbox = await pad.sandbox();
  pad.onStarting();
  try {
    const { hostname, hosts, resolv } = surroundings;
    const { parent, process } = await startContainer({
      ...{ sandbox, hostname, hosts, resolv, projectRoot, stateDir, env, mounts },
      ...{ argv: command, program: words[0]!, links: program.links },
      isReadOnly: spec.securityContext?.readOnlyRootFilesystem === true,
      workingDir: spec.workingDir || '/',
      logName: logName(namespace, name, spec.name),
      input: spec.stdin ? makeInput(inputFile(stateDir, uid, spec.name)) : null,
    });
    parent.unref();
    const onExit: Launched['onExit'] = (tell) => {
      const { exitCode, signalCode } = parent;
      if (exitCode !== null || signalCode !== null) tell(exitCode, signalCode);
      else parent.once('exit', tell);
    };
    return { process, sandbox, onExit };
  } catch (error) {
    if (!(error instanceof RootError) || !error.message.startsWith('exec: ')) throw error;
    throw missingProgram(spec.image ?? '', program, error.message);
  } finally {
    pad.onStarted();
  }
}

function linksOf({ pod, context, onLack }: LaunchPad, namespace: string): Record<string, string> {
  const links = pod.spec?.enableServiceLinks !== false;
  const { env, leftOut } = serviceEnv(context.services(), namespace, links);
  if (leftOut) {
    const why = `namespace ${namespace} has more Services than an environment holds`;
    onLack('ServiceLinksLeftOut', `${why}: set enableServiceLinks to false`);
  }
  return env;
}
