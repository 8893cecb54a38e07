import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createFetch } from "../../core/fetch.ts";

let folder = "";
let authority = "";
let server: Server;
let port = 0;
let served = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "chancery-fetch-"));
  const paths = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const name = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost"];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...name, ...paths]);
  authority = await readFile(join(folder, "cert.pem"), "utf8");
  const key = await readFile(join(folder, "key.pem"), "utf8");
  server = createServer({ key, cert: authority }, (_request, response) => {
    served++;
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

it("trusts a configured authority besides the system's", async () => {
  const fetch = createFetch({
    allowLoopback: true,
    extraAuthorities: async () => await Promise.resolve([authority]),
  });
  expect((await fetch(`https://localhost:${port}/`)).status).toBe(200);
});

it("TC-F5 trusts an authority that is given for one request, for that request alone", async () => {
  const fetch = createFetch({ allowLoopback: true });
  const own = { authorities: [authority] };
  expect((await fetch(`https://localhost:${port}/`, own)).status).toBe(200);
  await expect(fetch(`https://localhost:${port}/`)).rejects.toThrow("not reachable");
});

it("trusts nobody else, whatever the environment says", async () => {
  served = 0;
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  const fetch = createFetch({ allowLoopback: true });
  await expect(fetch(`https://localhost:${port}/`)).rejects.toThrow("not reachable");
  delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  expect(served).toBe(0);
});

it("refuses a certificate for another name", async () => {
  served = 0;
  const fetch = createFetch({
    allowLoopback: true,
    extraAuthorities: async () => await Promise.resolve([authority]),
  });
  await expect(fetch(`https://127.0.0.1:${port}/`)).rejects.toThrow("not reachable");
  expect(served).toBe(0);
});
