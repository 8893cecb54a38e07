/** Many requests at once on one connection, whose first is answered last. */
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());

/** Some found and some not, in an order that shows what is missing or exchanged. */
const expected = Array.from({ length: 990 }, (_, at) => ((at * at) % 7 < 3 ? 200 : 404));
const request = (path: string, more = "") =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

test.each(["plain", "secure"])("each is answered in its turn, %s", async (kind) => {
  const first = Promise.withResolvers<unknown>();
  const before = door.answer["readTrustFile"];
  door.answer["readTrustFile"] = first.promise;
  const socket =
    kind === "plain"
      ? connect(door.port, "127.0.0.1")
      : connectTls({
          port: door.tlsPort,
          host: "127.0.0.1",
          servername: "localhost",
          ca: door.certificate,
          ALPNProtocols: ["http/1.1"],
        });
  let text = "";
  socket.on("data", (part: Buffer) => (text += part.toString("latin1")));
  const closed = Promise.withResolvers<void>();
  socket.on("close", () => closed.resolve());
  socket.on("error", closed.reject);
  const others = expected.map((status) => request(status === 200 ? "/healthz" : "/nowhere"));
  const close = request("/healthz", "Connection: close\r\n");
  socket.write([request("/tuf/1.root.json"), ...others, close].join(""));
  // As many refusals as are read wait behind the first answer now: more than Node lets wait.
  await expect.poll(() => door.heard.some(({ name }) => name === "readTrustFile")).toBe(true);
  const probe = await fetch(`${door.origin}/healthz`);
  expect(probe.status).toBe(200);
  expect(text).toBe("");
  first.resolve(before);
  await closed.promise;
  door.answer["readTrustFile"] = before;
  door.heard.length = 0;
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
  expect(statuses).toEqual([200, ...expected, 200]);
});
