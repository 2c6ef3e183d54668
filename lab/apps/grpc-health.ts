// The health service of gRPC (grpc.health.v1), for servers of the lab. One unary call is small
// enough to need no library. Source: grpc/grpc doc/health-checking.md, doc/PROTOCOL-HTTP2.md.
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';

const CHECK = '/grpc.health.v1.Health/Check';
const SERVING = 1;
const NOT_SERVING = 2;
const GRPC_OK = '0';
const GRPC_UNIMPLEMENTED = '12';
/** A compressed flag and the length of the message. */
const FRAME_BYTES = 5;
/** Field 1, a varint. */
const STATUS_TAG = 0x08;

/** A gRPC server that answers health checks with the status that `isServing` gives. */
export function makeHealthServer(isServing: () => boolean): Http2Server {
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    stream.resume();
    if (headers[':path'] !== CHECK) {
      const message = `unknown method ${headers[':path']}`;
      return void stream.respond(
        { ...RESPONSE, 'grpc-status': GRPC_UNIMPLEMENTED, 'grpc-message': message },
        { endStream: true },
      );
    }
    stream.respond(RESPONSE, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': GRPC_OK }));
    stream.end(frame(Buffer.of(STATUS_TAG, isServing() ? SERVING : NOT_SERVING)));
  });
  return server;
}

const RESPONSE = { ':status': 200, 'content-type': 'application/grpc' };

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
