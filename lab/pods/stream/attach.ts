// kubectl attach: what a container says from now on. Its input is nobody's.
import { PassThrough } from 'node:stream';
import type { WebSocket } from 'ws';
import { Channels, failureStatus, STDOUT, SUCCESS } from './channels.ts';
import { followLog } from './log.ts';
import { runningContainer, type StreamRequest } from './request.ts';

const NO_INPUT = 'containers of the lab read no input: use kubectl exec -it';

export function streamAttach(stateDir: string, request: StreamRequest, socket: WebSocket): void {
  const said = new PassThrough();
  const channels = new Channels(socket, {
    onInput: () => {},
    onInputEnd: () => {},
    onResize: () => {},
    onClose: () => said.destroy(),
  });
  try {
    if (request.query.get('stdin') === 'true') throw new Error(NO_INPUT);
    const container = runningContainer(stateDir, request);
    channels.pipe(said, STDOUT);
    said.once('end', () => channels.end(SUCCESS));
    followLog(stateDir, request, container, said);
  } catch (error) {
    channels.end(failureStatus((error as Error).message));
  }
}
