import { accessSync, constants, existsSync, readlinkSync } from 'node:fs';
import { KubetunError } from '../../datapath/error.ts';
import { ipMissing } from './ip.ts';

/** What the preflight asks of the machine; tests put their own in. */
export interface Machine {
  /** Effective user id. */
  uid: number;
  /** True if /dev/net/tun can be opened for reading and writing. */
  tun: boolean;
  /** True if ip(8) is on the PATH. */
  ip: boolean;
  /** True if the process shares the network namespace of the machine's first process. */
  rootNamespace: boolean;
}

export function inspectMachine(): Machine {
  return {
    uid: process.geteuid?.() ?? -1,
    tun: canOpen('/dev/net/tun'),
    ip: (process.env.PATH ?? '').split(':').some((folder) => existsSync(`${folder}/ip`)),
    rootNamespace: sharesRootNamespace(),
  };
}

/**
 * Refuses what cannot work, before anything is touched. Throws KubetunError KT_NOT_ROOT, KT_TUN_ABSENT,
 * KT_TOOL_MISSING, KT_ROOT_NAMESPACE.
 *
 * @param hostNetwork true where the machine's own network is meant to be steered.
 */
export function preflight(node: string, hostNetwork: boolean, machine = inspectMachine()): void {
  const refuse = (code: string, message: string, next: string): never => {
    throw new KubetunError(code, message, next);
  };
  if (machine.uid !== 0)
    refuse('KT_NOT_ROOT', `the agent of ${node} is not root`, 'run it with sudo');
  if (!machine.tun) {
    refuse('KT_TUN_ABSENT', '/dev/net/tun cannot be opened', 'load the tun module: modprobe tun');
  }
  if (!machine.ip) throw ipMissing();
  if (machine.rootNamespace && !hostNetwork) {
    refuse(
      'KT_ROOT_NAMESPACE',
      `the agent of ${node} runs in the machine's own network namespace, which it would steer`,
      'run it inside the node (scripts/kubetun lab up does), or say --host-network if that is meant',
    );
  }
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Compares with the first process, or where that one is not to be looked at with the kernel's own thread. If
 * neither can be read, the worse is assumed.
 */
function sharesRootNamespace(): boolean {
  for (const pid of [1, 2]) {
    try {
      return readlinkSync('/proc/self/ns/net') === readlinkSync(`/proc/${pid}/ns/net`);
    } catch {}
  }
  return true;
}
