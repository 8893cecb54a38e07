/** The certificate of the TLS listener is renewed, and replaced by another's, while the door serves: `chancery tls`, and the door itself. */
import { execFileSync } from "node:child_process";
import { randomUUID, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { mkdir, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import * as v from "valibot";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "../../config/commands.ts";
import { loadHome } from "../../config/load.ts";
import { onOneLine, readChain } from "../../config/tls-chain.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { makeServerCertificate, takeLock } from "../../hsm/commands.ts";
import { keepCredentials } from "../../plugins/http/credentials.ts";
import { http } from "../../plugins/http/manifest.ts";
import { silentJournal } from "../support/boot.ts";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
  const instance = {
    version: 1,
    id: randomUUID(),
    origin: "https://sign.corp.example",
    port: 1,
    tlsPort: 2,
    natsPort: 3,
    createdAt: new Date().toISOString(),
    treeId: "1",
  };
  await writeFile(join(door.home, "instance.json"), JSON.stringify(instance));
  const outbound = "outbound: { authorityFiles: [trust/tls/ca.pem] }";
  await writeFile(join(door.home, "config.yaml"), `http: {}\n${outbound}\n`);
});
afterAll(async () => await door.dispose());

const tls = async (...args: readonly string[]) => await tlsOf(door.home, args);

async function tlsOf(home: string, args: readonly string[]) {
  const [lines, said]: string[][] = [[], []];
  const code = await runCommand(["tls", ...args], {
    environment: { CHANCERY_HOME: home },
    folder: door.home,
    print: (line) => void lines?.push(line),
    complain: (line) => void said?.push(line),
    interactive: false,
    readInput: async () => await Promise.resolve(new Uint8Array()),
  });
  return { code, lines, said: said?.join("\n") ?? "" };
}

const at = (name: string): string => join(door.home, name);
const dial = async (options: object = { rejectUnauthorized: false }): Promise<TLSSocket> => {
  const socket = connect({ host: "127.0.0.1", port: door.tlsPort, ...options });
  await once(socket, "secureConnect");
  return socket;
};
/** Names of the certificate that a new connection is shown. */
const names = async (): Promise<string | undefined> => {
  const socket = await dial();
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  return certificate?.subjectAltName;
};
const asks = async (socket: TLSSocket): Promise<string> => {
  socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const [data] = (await once(socket, "data")) as [Buffer];
  return data.toString("latin1");
};

test("what was not made here is replaced only if that is said", async () => {
  const before = await readFile(at("trust/tls/cert.pem"), "utf8");
  const refused = await tls("renew");
  expect([refused.code, refused.said]).toEqual([1, expect.stringContaining("--replace")]);
  expect(refused.said).toContain("by CN=localhost, not made here");
  expect(await readFile(at("trust/tls/cert.pem"), "utf8")).toBe(before);
  const root = await readFile("test/vectors/sigstore/trusted-root-public-good.json", "utf8");
  await writeFile(at("trust/trusted_root.json"), root);
  const replaced = await tls("renew", "--replace");
  expect(replaced.lines?.[2]).toBe("by      O=sigstore.dev, CN=sigstore.dev local TLS CA");
  await rm(at("trust/trusted_root.json"));
  expect((await tls("renew")).lines?.[2]).toBe(replaced.lines?.[2]);
});

test("renewed with other names, it is what new connections are shown, and open ones go on", async () => {
  const open = await dial();
  const wanted = ["--names", "sign.corp.example,localhost", "--addresses", "127.0.0.1,::1"];
  const renewed = await tls("renew", ...wanted, "--days", "90");
  expect(renewed.code).toBe(0);
  expect(renewed.lines?.[0]).toContain("sign.corp.example, localhost, 127.0.0.1, 0:0:0:0:0:0:0:1");
  expect(renewed.said).toContain("takes the new one");
  await expect.poll(names, { timeout: 10_000 }).toContain("DNS:sign.corp.example");
  const ca = await readFile(at("trust/tls/ca.pem"));
  const trusted = await dial({ ca, servername: "sign.corp.example" });
  expect(trusted.authorized).toBe(true);
  trusted.destroy();
  expect(await asks(open)).toContain("200 OK");
  open.destroy();
  expect((await stat(at("secrets/tls/key.pem"))).mode & 0o777).toBe(0o600);
  // The same names unless others are said.
  expect((await tls("renew")).lines).toEqual([
    renewed.lines?.[0],
    expect.stringMatching(/^ends {4}20/),
    expect.stringContaining("local TLS CA"),
  ]);
  expect((await tls("show", "--json")).lines?.[0]).toContain('"names":["sign.corp.example","lo');
});

/** A block that is PEM and no certificate. */
const damaged = formatPem("CERTIFICATE", new Uint8Array(300).fill(7));

/** A pair that fits and that TLS refuses. */
function makeWeak(): void {
  const to = ["-keyout", at("weakKey"), "-out", at("weak")];
  const kind = ["-newkey", "rsa:1024", "-nodes", "-days", "2", "-subj", "/CN=weak"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...to], { stdio: "ignore" });
}

test("services trust what their own door shows after it was renewed", async () => {
  const instance = JSON.parse(await readFile(at("instance.json"), "utf8")) as object;
  const here = JSON.stringify({ ...instance, origin: "https://localhost" });
  const home = at("local");
  await mkdir(home);
  await writeFile(join(home, "instance.json"), here);
  const outbound = { authorityFiles: [at("trust/tls/ca.pem")] };
  await writeFile(join(home, "config.yaml"), JSON.stringify({ outbound }));
  const { fetch } = await loadHome(home);
  const asked = async () =>
    await fetch?.(`https://localhost:${door.tlsPort}/healthz`).then(
      ({ status }) => status,
      (error: Error) => error.message,
    );
  await expect.poll(asked, { timeout: 10_000 }).toBe(200);
  const [seen, ended] = [new Set<unknown>(), new Set<unknown>()];
  void tls("renew", "--names", "localhost,renewed.example").then(({ code }) => ended.add(code));
  do seen.add(await asked());
  while (ended.size === 0);
  // All along, whichever certificate the door showed.
  expect([[...seen], [...ended]]).toEqual([[200], [0]]);
  await expect.poll(names, { timeout: 10_000 }).toContain("DNS:renewed.example");
  expect(await asked()).toBe(200);
  // Without the file, or with what is none while somebody copies it, the services know what they knew.
  const authority = await readFile(at("trust/tls/ca.pem"), "utf8");
  for (const part of ["", authority.slice(0, 99)]) {
    await writeFile(at("trust/tls/ca.pem"), part);
    expect(await asked()).toBe(200);
  }
  await rm(at("trust/tls/ca.pem"));
  expect(await asked()).toBe(200);
  await writeFile(at("trust/tls/ca.pem"), authority);
});

test("two at the same moment are kept apart", async () => {
  await mkdir(at("ceremony"), { recursive: true });
  const before = await readFile(at("trust/tls/cert.pem"), "utf8");
  {
    using _lock = takeLock(at("ceremony/tls.lock"), "tests");
    for (const args of [["renew"], ["use", "trust/tls/cert.pem", "--key", "secrets/tls/key.pem"]]) {
      const refused = await tls(...args);
      expect([refused.code, refused.said]).toEqual([1, expect.stringContaining("another process")]);
    }
  }
  expect(await readFile(at("trust/tls/cert.pem"), "utf8")).toBe(before);
  expect((await tls("renew")).code).toBe(0);
});

test("one that was made here is known by the key that signed it, and not by a name", async () => {
  const fields = { organization: "sigstore.dev", names: ["localhost"], addresses: [], days: 9 };
  const made = makeServerCertificate({ ...fields, notBefore: new Date() });
  expect(onOneLine(new X509Certificate(made.certificate).issuer)).toContain("local TLS CA");
  await writeFile(at("made"), made.certificate);
  await writeFile(at("madeKey"), made.key);
  const authority = await readFile(at("trust/tls/ca.pem"), "utf8");
  expect((await tls("use", "made", "--key", "madeKey")).code).toBe(0);
  const refused = await tls("renew");
  expect([refused.code, refused.said]).toEqual([1, expect.stringContaining("not made here")]);
  // As an interruption in the midst of a renewal leaves it: both authorities are there.
  await writeFile(at("trust/tls/ca.pem"), authority + made.authority);
  expect((await tls("renew")).code).toBe(0);
  expect(readChain("authority", await readFile(at("trust/tls/ca.pem"), "utf8"))).toHaveLength(1);
  await expect.poll(names, { timeout: 10_000 }).toBe("DNS:localhost");
});

test("what cannot be read is not taken for what is not there", async () => {
  const before = await readFile(at("trust/tls/cert.pem"), "utf8");
  await mkdir(at("trust/trusted_root.json"));
  const refused = await tls("renew");
  await rmdir(at("trust/trusted_root.json"));
  expect([refused.code, refused.said]).toEqual([3, expect.stringContaining("(EISDIR)")]);
  expect(await readFile(at("trust/tls/cert.pem"), "utf8")).toBe(before);
});

test("one of the operator's own is taken, with what is above it", async () => {
  const fields = { organization: "Corp", addresses: [], days: 30, notBefore: new Date() };
  const own = makeServerCertificate({ ...fields, names: ["door.corp.example"] });
  const other = makeServerCertificate({ ...fields, names: ["other.example"] });
  const old = makeServerCertificate({ ...fields, names: ["old.example"], notBefore: new Date(0) });
  const tomorrow = new Date(Date.now() + 86_400_000);
  const next = makeServerCertificate({ ...fields, names: ["new.example"], notBefore: tomorrow });
  const files = {
    own: own.certificate,
    key: own.key,
    ca: own.authority,
    wrong: other.key,
    otherCa: other.authority,
    old: old.certificate,
    oldKey: old.key,
    new: next.certificate,
    newKey: next.key,
    damaged: own.certificate + damaged,
    cut: own.certificate + own.authority.slice(0, 100),
    // As other tools put them together.
    combined: `subject=door\n${own.key}${own.certificate}`,
    combinedCa: own.authority + other.key,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(at(name), text);
  makeWeak();
  const before = await readFile(at("trust/tls/cert.pem"), "utf8");
  for (const [args, code, said] of [
    [["own"], 2, "--key FILE is needed"],
    [["own", "--key", "wrong"], 1, "the key is not that of the certificate"],
    [["key", "--key", "key"], 1, "the certificate cannot be read"],
    [["old", "--key", "oldKey"], 1, "the certificate ended"],
    [["new", "--key", "newKey"], 1, "the certificate is not valid before"],
    [
      ["own", "--key", "key", "--authority", "otherCa"],
      1,
      "O=Corp, CN=Corp local TLS CA is needed",
    ],
    [["own", "--key", "key", "--authority", "key"], 1, "the authority cannot be read"],
    [["own", "--key", "own"], 1, "the key cannot be read"],
    [["damaged", "--key", "key"], 1, "CERTIFICATE block 2 is damaged"],
    [["cut", "--key", "key"], 1, "CERTIFICATE block 2 is damaged"],
    [["weak", "--key", "weakKey"], 1, "ee key too small"],
    [["nothing", "--key", "key"], 3, "cannot be read"],
  ] as const) {
    const refused = await tls("use", ...args);
    expect([refused.code, refused.said]).toEqual([code, expect.stringContaining(said)]);
  }
  for (const bad of ["a b", "https://x", "", "-a.example"]) {
    expect((await tls("renew", "--names", bad)).code).toBe(2);
  }
  expect((await tls("renew", "--addresses", "300.1.1.1")).code).toBe(2);
  expect((await tls("renew", "--days", "826")).code).toBe(2);
  expect(await readFile(at("trust/tls/cert.pem"), "utf8")).toBe(before);
  const used = await tls("use", "combined", "--key", "combined", "--authority", "combinedCa");
  expect(used.code).toBe(0);
  expect(await readFile(at("trust/tls/cert.pem"), "utf8")).toBe(own.certificate);
  await expect.poll(names, { timeout: 10_000 }).toBe("DNS:door.corp.example");
  expect(await readFile(at("trust/tls/ca.pem"), "utf8")).toBe(own.authority);
});

test("a pair that does not fit leaves the one before in force, and is told of", async () => {
  const key = await readFile(at("secrets/tls/key.pem"), "utf8");
  const fields = { organization: "Corp", names: ["x"], addresses: [], days: 1 };
  await writeFile(
    at("secrets/tls/key.pem"),
    makeServerCertificate({ ...fields, notBefore: new Date() }).key,
  );
  const told = () => door.journal.filter(({ event }) => event === "tls-certificate-not-loaded");
  await expect.poll(() => told().length, { timeout: 10_000 }).toBe(1);
  expect(await names()).toBe("DNS:door.corp.example");
  const ready = async () => await (await fetch(`${door.origin}/readyz`)).text();
  expect(await ready()).toContain('"http":"degraded"');
  expect(told()[0]?.fields["reason"]).toMatch(/is not that of the certificate .*tls renew/);
  await writeFile(at("secrets/tls/key.pem"), key);
  await expect.poll(ready, { timeout: 10_000 }).toContain('"ready"');
  expect(told()).toHaveLength(1);
  expect(new X509Certificate(await readFile(at("trust/tls/cert.pem"))).subjectAltName).toBe(
    await names(),
  );
});

test("a pair that fits and cannot be served is told of, as long as it lies there", async () => {
  const before = await readFile(at("trust/tls/cert.pem"), "utf8");
  const ready = async () => await (await fetch(`${door.origin}/readyz`)).text();
  await writeFile(at("trust/tls/cert.pem"), before + damaged);
  await expect.poll(ready, { timeout: 10_000 }).toContain('"http":"degraded"');
  expect(await names()).toBe("DNS:door.corp.example");
  await writeFile(at("trust/tls/cert.pem"), before);
  await expect.poll(ready, { timeout: 10_000 }).toContain('"ready"');
});

test("a pair that comes while the first one is read is not missed", async () => {
  const fields = { organization: "Corp", addresses: [], days: 1, notBefore: new Date() };
  const write = (name: string): string => {
    const { certificate, key } = makeServerCertificate({ ...fields, names: [name] });
    writeFileSync(at("racing.pem"), certificate);
    writeFileSync(at("racing-key.pem"), key);
    return certificate;
  };
  write("first.example");
  let second: string | undefined;
  const files = { tlsCertificate: "racing.pem", tlsKey: "racing-key.pem" };
  using kept = await keepCredentials({
    config: v.parse(http.manifest.config, { publicUrl: door.origin, port: 0, ...files }),
    home: () => door.home,
    journal: silentJournal,
    clock: {
      // Asked once the first pair has been read, and before anything is awaited.
      now() {
        second ??= write("second.example");
        return new Date();
      },
    },
  });
  await expect.poll(() => kept.now.certificate, { timeout: 10_000 }).toBe(second);
});

test("what is wrong with a command line or a home is said", async () => {
  for (const address of ["::ffff:1.2.3.4", "fe80::1%eth0"]) {
    const refused = await tls("renew", "--addresses", address);
    expect([refused.code, refused.said]).toEqual([2, expect.stringContaining("2001:db8::1")]);
  }
  for (const [args, said] of [
    [["renew", "--names", ",", "--addresses", ","], "say --names or --addresses"],
    [["toString"], "expected show, renew or use"],
  ] as const) {
    const refused = await tls(...args);
    expect([refused.code, refused.said]).toEqual([2, expect.stringContaining(said)]);
  }
  const nowhere = await tlsOf(at("nowhere"), ["show"]);
  expect([nowhere.code, nowhere.said]).toEqual([3, expect.stringContaining("a Chancery home?")]);
});
