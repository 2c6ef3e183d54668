// A connection proxy to a server that cuts connections repeatedly.
import { connect, createServer, type Server, type Socket } from 'node:net';

export class RoughRoad {
  /** Connections that were cut. */
  cuts = 0;
  readonly #pairs = new Set<[client: Socket, server: Socket]>();
  readonly #listener: Server;
  #held = false;

  private constructor(listener: Server) {
    this.#listener = listener;
  }

  /** A port on loopback that forwards to another one. */
  static async open(to: () => number): Promise<{ road: RoughRoad; port: number }> {
    const listener = createServer();
    const road = new RoughRoad(listener);
    listener.on('connection', (client) => road.#join(client, to()));
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    return { road, port: (listener.address() as { port: number }).port };
  }

  #join(client: Socket, to: number): void {
    const server = connect(to, '127.0.0.1');
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) socket.once('error', end).once('close', end);
    client.pipe(server).pipe(client);
    if (this.#held) server.pause();
  }

  /** Cuts each connection with this probability, half of them with a reset. */
  cut(chance: number, random: () => number): void {
    for (const [client, server] of [...this.#pairs]) {
      if (random() > chance) continue;
      this.cuts++;
      if (random() < 0.5) client.resetAndDestroy();
      else client.destroy();
      server.destroy();
    }
  }

  /** Holds back the server's data, so that clients fall behind; or releases it. */
  hold(held: boolean): void {
    this.#held = held;
    for (const [client, server] of this.#pairs) {
      if (held) server.unpipe(client);
      else server.pipe(client);
    }
  }

  close(): void {
    this.#listener.close();
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }
}
