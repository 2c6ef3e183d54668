import type { Probe } from '../../../control/kube/kinds.ts';
import type { ProcessId } from '../../host/process.ts';
import { execInside } from './exec.ts';
import { grpcHealth } from './grpc.ts';
import { type ActionResult, type Dialer, httpGet, tcpSocket } from './network.ts';

/** Action of a probe or a hook. Exactly one field is set. */
export interface Action {
  exec?: { command?: string[] };
  grpc?: Probe['grpc'];
  httpGet?: Probe['httpGet'];
  tcpSocket?: Probe['tcpSocket'];
  sleep?: { seconds: number };
}

/** Runs an action within its timeout. Never rejects. */
export function runAction(
  action: Action,
  container: ProcessId,
  dialer: Dialer,
  timeoutMs: number,
): Promise<ActionResult> {
  if (action.exec) return execInside(container, action.exec.command ?? [], timeoutMs);
  if (action.grpc) return grpcHealth(action.grpc, dialer, timeoutMs);
  if (action.httpGet) return httpGet(action.httpGet, dialer, timeoutMs);
  if (action.tcpSocket) return tcpSocket(action.tcpSocket, dialer, timeoutMs);
  if (action.sleep) return sleep(Math.min(action.sleep.seconds * 1000, timeoutMs));
  return Promise.resolve({
    good: false,
    output: 'unsupported action: expected exec, grpc, httpGet, tcpSocket or, in hooks, sleep',
  });
}

function sleep(ms: number): Promise<ActionResult> {
  return new Promise((resolve) => setTimeout(() => resolve({ good: true, output: '' }), ms));
}
