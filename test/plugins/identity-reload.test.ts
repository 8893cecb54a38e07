/** Issuers and providers that change while the room runs: what is good is taken, what is broken leaves the ones before in force. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { bootIdentity, claims, issuer, issuerUrl, publicKeyHash } from "../support/identity.ts";
import { authenticate, listIssuers } from "../../events/identity.ts";
import { issuerKey, type IssuerKey, signToken } from "../support/issuer.ts";

const homes: string[] = [];
let key: IssuerKey;
beforeAll(async () => {
  key = await issuerKey();
});
afterAll(() => homes.forEach((home) => rmSync(home, { recursive: true, force: true })));

const provider = (version: number, path: string) => `type: acme-ci
version: ${version}
title: ACME
issuers: []
claims:
  job: { type: word, required: true }
challenge: sub
san: { kind: uri, template: "{iss}/${path}/{claims.job}" }
uniqueBy: [job]
extensions: []
`;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const ciUrl = "https://ci.example";
const ci = { issuerUrl: ciUrl, provider: "acme-ci", jwksFile: "jwks.json" };

/** Writes `config.yaml`; the section is what the room was booted with, or what it is to become. */
function configure(home: string, section: object): void {
  writeFileSync(join(home, "config.yaml"), stringify({ http: { port: 1 }, identity: section }));
}

/** Looks until it is so: the room looks once a second. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 400) throw new Error("it never was");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function boot() {
  const home = mkdtempSync(join(tmpdir(), "chancery-reload-"));
  homes.push(home);
  const mail = issuer({ keys: [key.jwk] });
  const section = { issuers: [{ issuerUrl, provider: "email" }], providers: [] as object[] };
  writeFileSync(join(home, "jwks.json"), JSON.stringify({ keys: [key.jwk] }));
  configure(home, section);
  const room = await bootIdentity(mail, {}, { home, section });
  const ask = async (changes: object) =>
    await room.installation.ask(authenticate, {
      idToken: await signToken(key, claims(changes)),
      publicKeyHash,
    });
  const health = () => room.installation.health()["identity"];
  return { ...room, home, mail, section, ask, health };
}

it.concurrent(
  "takes an issuer and its provider without a restart, and a newer provider, and lets an issuer go",
  async () => {
    const room = await boot();
    const { home } = room;
    await room.ask({});
    const fetched = room.mail.fetched.length;
    const one = provider(1, "jobs");
    writeFileSync(join(home, "acme.yaml"), one);
    const providers = [{ file: "acme.yaml", sha256: sha256(one) }];
    configure(home, { issuers: [...room.section.issuers, ci], providers });
    const job = { iss: ciUrl, job: "build" };
    await until(
      async () =>
        await room.ask(job).then(
          () => true,
          () => false,
        ),
    );
    expect((await room.ask(job)).principal.san.value).toBe("https://ci.example/jobs/build");
    // An issuer that did not change is not asked for its keys again.
    await room.ask({});
    expect(room.mail.fetched).toHaveLength(fetched);
    const two = provider(2, "runs");
    writeFileSync(join(home, "acme.yaml"), two);
    configure(home, { issuers: [ci], providers: [{ file: "acme.yaml", sha256: sha256(two) }] });
    await until(async () => (await room.ask(job)).provenance.providerVersion === "2");
    expect((await room.ask(job)).principal.san.value).toBe("https://ci.example/runs/build");
    await expect(room.ask({})).rejects.toMatchObject({ code: "identity-rejected" });
    const { issuers } = await room.installation.ask(listIssuers, {});
    expect(issuers.map((listed) => listed.issuerUrl)).toEqual([ciUrl]);
    await room.installation.dispose();
  },
);

it.concurrent.each<[string, (home: string, section: object) => void, string]>([
  [
    "a file that is no YAML",
    (home) => writeFileSync(join(home, "config.yaml"), "identity: [\n"),
    "config.yaml",
  ],
  ["a section that is none", (home) => configure(home, { issuers: "all" }), "identity.issuers"],
  [
    "a provider that is not the one that was reviewed",
    (home, section) => {
      writeFileSync(join(home, "acme.yaml"), provider(1, "jobs"));
      configure(home, { ...section, providers: [{ file: "acme.yaml", sha256: "0".repeat(64) }] });
    },
    "acme.yaml",
  ],
  [
    "an issuer whose provider is not there",
    (home) => configure(home, { issuers: [ci] }),
    'there is no provider "acme-ci"',
  ],
  [
    "the first issuer whose tokens are taken once",
    (home) => configure(home, { issuers: [{ issuerUrl, provider: "email", oneTime: true }] }),
    "takes a restart",
  ],
])(
  "%s leaves the issuers before in force, and health says so until it is mended",
  async (_, spoil, reason) => {
    const room = await boot();
    const { home } = room;
    await room.ask({});
    const good = readFileSync(join(home, "config.yaml"));
    spoil(home, room.section);
    await until(async () => await Promise.resolve(room.health()?.status === "degraded"));
    expect(JSON.stringify(room.health())).toContain("those before are in force");
    expect(JSON.stringify(room.health())).toContain(JSON.stringify(reason).slice(1, -1));
    await room.ask({});
    writeFileSync(join(home, "config.yaml"), good);
    await until(async () => await Promise.resolve(room.health()?.status === "ok"));
    await room.ask({});
    await room.installation.dispose();
  },
);

it.concurrent(
  "a file that only the new section names is read again when it alone is mended",
  async () => {
    const room = await boot();
    const { home } = room;
    const fulcio = (type: string) =>
      `oidc-issuers:\n  ${ciUrl}:\n    issuer-url: ${ciUrl}\n    client-id: sigstore\n    type: ${type}\n`;
    writeFileSync(join(home, "fulcio.yaml"), fulcio("emial"));
    configure(home, { ...room.section, fulcioConfig: "fulcio.yaml" });
    await until(async () => await Promise.resolve(room.health()?.status === "degraded"));
    expect(JSON.stringify(room.health())).toContain("fulcio.yaml:5");
    writeFileSync(join(home, "fulcio.yaml"), fulcio("email"));
    await until(async () => await Promise.resolve(room.health()?.status === "ok"));
    const { issuers } = await room.installation.ask(listIssuers, {});
    expect(issuers.map((listed) => listed.issuerUrl).toSorted()).toEqual(
      [ciUrl, issuerUrl].toSorted(),
    );
    await room.installation.dispose();
  },
);
