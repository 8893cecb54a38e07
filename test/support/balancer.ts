/** What an installation with several service processes has in front of them: one address, and connections to whoever is well. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A balancer of TCP connections. */
export interface Balancer extends AsyncDisposable {
  /** Passes new connections on to these ports of the loopback address, and ends those to any other. */
  route(ports: readonly number[]): void;
}

/** Listens on `port`. */
export async function startBalancer(port: number): Promise<Balancer> {
  let targets: readonly number[] = [];
  let turn = 0;
  const open = new Map<Socket, number>();
  const server = createServer((near) => {
    near.on("error", () => near.destroy());
    pass(near, targets.length);
  });
  server.listen(port);
  await once(server, "listening");

  function pass(near: Socket, attempts: number): void {
    const target = targets[turn++ % Math.max(1, targets.length)];
    if (attempts === 0 || target === undefined) {
      near.destroy();
      return;
    }
    const far = connect(target, "127.0.0.1");
    const next = (): void => pass(near, attempts - 1);
    far.once("error", next);
    far.once("connect", () => {
      far.off("error", next).on("error", () => near.destroy());
      for (const socket of [near, far]) {
        open.set(socket, target);
        socket.on("close", () => open.delete(socket));
      }
      near.on("close", () => far.destroy());
      far.on("close", () => near.destroy());
      near.pipe(far).pipe(near);
    });
  }

  return {
    route(ports) {
      targets = ports;
      for (const [socket, target] of open) if (!ports.includes(target)) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open.keys()) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
