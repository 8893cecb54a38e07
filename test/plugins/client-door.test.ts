/** `chancery status` tells when the certificate ends that the TLS listener shows, and when that is soon. */
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "../../config/commands.ts";
import { endsSoon } from "../../core/formats/notice.ts";
import { makeServerCertificate } from "../../hsm/commands.ts";

const dayMs = 86_400_000;
const second = Math.floor(Date.now() / 1_000) * 1_000;
let home = "";
const services = createServer(({ url }, response) =>
  response.writeHead(url === "/readyz" ? 503 : 404).end(),
);
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "chancery-door-"));
  await mkdir(join(home, "trust"));
  const root = "test/vectors/sigstore/trusted-root-public-good.json";
  await copyFile(root, join(home, "trust/trusted_root.json"));
  await portOf(services);
});
afterAll(async () => {
  services.close();
  await rm(home, { recursive: true });
});

async function portOf(server: Server): Promise<number> {
  if (!server.listening) await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port; // listening on a port, so the address is one
}

/** A listener whose certificate of nine days has so many left. */
function listener(daysLeft: number): Server {
  const notBefore = new Date(second - (9 - daysLeft) * dayMs);
  const fields = { organization: "Corp", names: ["door.example"], addresses: [], days: 9 };
  const { certificate: cert, key } = makeServerCertificate({ ...fields, notBefore });
  return createTlsServer({ cert, key });
}

async function status(tlsPort: number | undefined, ...flags: readonly string[]) {
  const origin = `http://127.0.0.1:${await portOf(services)}`;
  const instance = { version: 1, id: "x", origin, treeId: "1", createdAt: "", tlsPort };
  await writeFile(join(home, "instance.json"), JSON.stringify(instance));
  const lines: string[] = [];
  await runCommand(["status", ...flags], {
    environment: { CHANCERY_HOME: home },
    folder: home,
    print: (line) => void lines.push(line),
    complain: () => undefined,
    interactive: false,
    readInput: async () => await Promise.resolve(new Uint8Array()),
  });
  return lines.join("\n");
}

const doorOf = async (tlsPort: number | undefined) =>
  (JSON.parse(await status(tlsPort, "--json")) as { readonly tls: object }).tls;

test.each([
  [8, false],
  [2, true],
])("with %d of nine days left", async (daysLeft, isSoon) => {
  const server = listener(daysLeft);
  const port = await portOf(server);
  const ends = new Date(second + daysLeft * dayMs).toISOString();
  expect(await doorOf(port)).toEqual({ names: "DNS:door.example", ends, endsSoon: isSoon });
  const shown = await status(port);
  expect(shown).toContain(`TLS        certificate ends ${ends}`);
  expect(shown.includes("WHICH IS SOON: chancery tls renew")).toBe(isSoon);
  // A process that joined another has a port of its own.
  await writeFile(join(home, "joined.json"), JSON.stringify({ tlsPort: port }));
  expect(await doorOf(1)).toMatchObject({ ends });
  await rm(join(home, "joined.json"));
  server.close();
});

test("a door that shows none is a problem of its own", async () => {
  expect(await doorOf(1)).toEqual({ problem: expect.stringContaining("127.0.0.1:1 (") as string });
  const none = { problem: expect.stringContaining("names no TLS port") as string };
  expect(await doorOf(undefined)).toEqual(none);
  const plain = { problem: expect.stringContaining("nobody shows") as string };
  expect(await doorOf(await portOf(services))).toEqual(plain);
});

test.each([
  [90, 31, false],
  [90, 29, true],
  [825, 31, false],
  [825, 29, true],
  [9, 3.1, false],
  [9, 2.9, true],
])("a term of %d days with %d left ends soon: %s", (days, left, isSoon) => {
  const term = { validFromDate: new Date(0), validToDate: new Date(days * dayMs) };
  expect(endsSoon(term, new Date((days - left) * dayMs))).toBe(isSoon);
});
