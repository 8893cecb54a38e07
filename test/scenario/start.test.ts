/** `npm start` as a user meets it. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chancery, freshPlace, type Place, runStart, startInstance } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";

let place: Place & { readonly remove: () => Promise<void> };

beforeAll(async () => {
  place = await freshPlace();
  const first = await runStart(place);
  expect(first).toMatchObject({ code: 0 });
  expect(first.stdout).toContain(`http://localhost:${place.port}`);
  expect(first.stdout.match(/^ {2}.*\.\/chancery /gm)).toHaveLength(3);
});

afterAll(async () => await place.remove());

test("a second start reuses keys, trust and logs", async () => {
  const before = await fingerprints(place.home);
  const second = await runStart(place);
  expect(second).toMatchObject({ code: 0 });
  expect(second.stdout).not.toContain("genesis");
  expect(await fingerprints(place.home)).toEqual(before);
});

test("a home that was never proved serves nobody until it is", async () => {
  const files = ["proved.json", "policy.yaml"].map((name) => join(place.home, name));
  const [mark = "", policy = ""] = files;
  const allowed = await readFile(policy);
  expect((await stat(mark)).mode & 0o777).toBe(0o600);
  await rm(mark);
  await writeFile(policy, "version: closed\ndefault: deny\nrules: []\n");
  const refused = await runStart(place, []);
  await writeFile(policy, allowed);
  expectRefusal(refused, "the readiness proof failed");
  expect(await runStart(place)).toMatchObject({ code: 0 });
  expect((await stat(mark)).size).toBeGreaterThan(0);
});

test("the home and everything in it is for its owner alone", async () => {
  expect((await stat(place.home)).mode & 0o777).toBe(0o700);
});

test("refuses a busy port in one sentence", async () => {
  const squatter = createServer().listen(place.port, "127.0.0.1");
  await once(squatter, "listening");
  const refused = await runStart(place);
  squatter.close();
  expectRefusal(refused, `port ${place.port} is in use`);
});

test("refuses an old home on another port, and says how to change it", async () => {
  const refused = await runStart({ ...place, port: await freePort() });
  expectRefusal(refused, `bound to port ${place.port}`);
});

test("refuses a foreign home and leaves it alone", async () => {
  const other = await freshPlace();
  await mkdir(other.home, { recursive: true });
  await writeFile(join(other.home, "thesis.txt"), "years of work");
  expectRefusal(await runStart(other), "not a Chancery home");
  expect(await readdir(other.home)).toEqual(["thesis.txt"]);
  await other.remove();
});

test("refuses an unknown flag", async () => {
  expectRefusal(await runStart(place, ["--force"]), "--once");
});

test("tries a wrong PIN once, says so, and leaves the token alone", async () => {
  const pin = join(place.home, "secrets", "pin");
  const right = await readFile(pin);
  await writeFile(pin, "0000-wrong\n");
  const refused = await runStart(place);
  await writeFile(pin, right);
  expectRefusal(refused, "PIN");
  expect(await runStart(place)).toMatchObject({ code: 0 });
});

test.for(["data/log-rekor.db", "data/log-ct.db", "data/audit.db", "vault/vault.db"])(
  "never makes %s anew where it is expected but missing",
  async (file) => {
    const path = join(place.home, file);
    const hidden = join(place.home, "..", "hidden");
    await mkdir(hidden, { recursive: true });
    const names = ["", "-wal", "-shm"].map((suffix) => `${path}${suffix}`);
    for (const name of names)
      await rename(name, join(hidden, `x${names.indexOf(name)}`)).catch(() => undefined);
    const refused = await runStart(place);
    const made = await stat(path).then(
      () => true,
      () => false,
    );
    for (const name of names)
      await rename(join(hidden, `x${names.indexOf(name)}`), name).catch(() => undefined);
    expectRefusal(refused, "missing");
    expect(made).toBe(false);
    expect((await stat(path)).size).toBeGreaterThan(0);
  },
);

test("never makes a key anew where it is expected but missing, and starts when everything is back", async () => {
  const tokens = join(place.home, "tokens", "online");
  const hidden = join(place.home, "..", "tokens-hidden");
  await cp(tokens, hidden, { recursive: true });
  const [token = ""] = await readdir(tokens);
  const objects = (await readdir(join(tokens, token))).filter((name) =>
    /^[0-9a-f-]{36}\.object$/.test(name),
  );
  for (const name of objects) await rename(join(tokens, token, name), join(hidden, name));
  const refused = await runStart(place);
  const left = (await readdir(join(tokens, token))).filter((name) =>
    /^[0-9a-f-]{36}\.object$/.test(name),
  );
  for (const name of objects) await rename(join(hidden, name), join(tokens, token, name));
  expect(refused.code).toBe(3);
  expect(left).toEqual([]);
  expect(await runStart(place)).toMatchObject({ code: 0 });
});

test("an instance whose origin is its own TLS listener works end to end, and nobody else's certificate will do", async () => {
  const other = await freshPlace();
  const publicUrl = `https://localhost:${other.tlsPort}`;
  await using running = await startInstance({ ...other, publicUrl });
  expect(running.greeting).toContain(`origin   ${publicUrl} `);
  const status = await chancery(running.home, "status", "--json");
  expect(status).toMatchObject({ code: 0 });
  expect(JSON.parse(status.stdout)).toMatchObject({ origin: publicUrl, ready: true });
  const authority = join(running.home, "trust", "tls", "ca.pem");
  await cp(join(place.home, "trust", "tls", "ca.pem"), authority);
  const refused = await chancery(running.home, "status");
  expect(refused).toMatchObject({ code: 3 });
  expect(refused.stderr).toContain("trust/tls/ca.pem");
  await writeFile(authority, "nothing\n");
  expect(await chancery(running.home, "status")).toMatchObject({ code: 3 });
  await running.stop();
  await other.remove();
});

function expectRefusal(finished: { code: number | null; stderr: string }, says: string): void {
  expect(finished).toMatchObject({ code: 3 });
  expect(finished.stderr).toContain(says);
  expect(finished.stderr.trim().split("\n")).toHaveLength(1);
}

/** Hashes of what must never change between starts. */
async function fingerprints(home: string): Promise<Readonly<{ [file: string]: string }>> {
  const files = [
    "instance.json",
    "vault/keyring.json",
    "trust/trusted_root.json",
    "trust/1.root.json",
    "secrets/pin",
  ];
  const hashes = files.map(async (file) => {
    const content = await readFile(join(home, file));
    return [file, createHash("sha256").update(content).digest("hex")] as const;
  });
  return Object.fromEntries(await Promise.all(hashes));
}
