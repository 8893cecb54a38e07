/** The timestamp authority on a real vault: what it grants, what it refuses, and when it does not tell the time. */
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sha256, sha384 } from "../../core/crypto/hash.ts";
import * as der from "../../core/formats/der.ts";
import { encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { formatTimestampRequest } from "../../core/formats/tsp.ts";
import { parseTimestampResponse } from "../../core/formats/tsp-token.ts";
import { type Extension, extensionOids, keyPurposes } from "../../core/formats/x509.ts";
import { createTimestamp, timestampChain } from "../../events/timestamp.ts";
import { confirmClock } from "../../plugins/timestamp/commands.ts";
import plugin from "../../plugins/timestamp/plugin.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { ownExtensions, purposes, softTsa, type TsaChanges } from "../support/soft-tsa.ts";
import { type SoftKey, type SoftVault, softVault } from "../support/vault.ts";
import "../support/matchers.ts";

const policy = "1.3.6.1.4.1.57264.2";
const imprint = sha256(encodeUtf8("signature bytes"));
const soon = () => new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 3_000);

/** What a test may change while it runs. */
const clock = { offsetMs: 0, now: () => new Date(Date.now() + clock.offsetMs) };

function tsaKey(label: string, changes: TsaChanges = {}, key: Partial<SoftKey> = {}): SoftKey {
  return {
    label,
    purposes: ["timestamp"],
    askers: ["timestamp"],
    policy,
    chain: (publicKey) => softTsa(new Date(), { publicKey, ...changes }).chain,
    ...key,
  };
}

const usage = (bits: Uint8Array, unused: number): Extension => ({
  oid: extensionOids.keyUsage,
  critical: true,
  value: der.bitString(bits, unused),
});
const ca: Extension = {
  oid: extensionOids.basicConstraints,
  critical: true,
  value: der.sequence(der.boolean(true)),
};
const [goodUsage = ca, goodPurpose = ca] = ownExtensions;

/** Keys whose chains must not come into use, and what is said of them (TC-T5). */
const unusable: readonly (readonly [string, SoftKey, RegExp])[] = [
  [
    "two-purposes",
    tsaKey("two-purposes", {
      own: [goodUsage, purposes(true, keyPurposes.timeStamping, keyPurposes.codeSigning)],
    }),
    /nothing else/,
  ],
  [
    "not-critical",
    tsaKey("not-critical", { own: [goodUsage, purposes(false, keyPurposes.timeStamping)] }),
    /not critical/,
  ],
  ["is-ca", tsaKey("is-ca", { own: [goodUsage, goodPurpose, ca] }), /a CA's/],
  ["no-usage", tsaKey("no-usage", { own: [goodPurpose] }), /digitalSignature/],
  [
    "other-usage",
    tsaKey("other-usage", { own: [usage(Uint8Array.of(0x20), 5), goodPurpose] }),
    /digitalSignature/,
  ],
  [
    "other-key",
    tsaKey("other-key", {}, { chain: () => softTsa(new Date()).chain }),
    /for another key/,
  ],
  [
    "alone",
    tsaKey(
      "alone",
      {},
      {
        chain: (publicKey) => softTsa(new Date(), { publicKey }).chain.slice(0, 1),
      },
    ),
    /an authority above/,
  ],
  ["wrong-ca", tsaKey("wrong-ca", { caPurpose: keyPurposes.codeSigning }), /not for timeStamping/],
  [
    "broken-chain",
    tsaKey(
      "broken-chain",
      {},
      {
        chain: (publicKey) => [
          ...softTsa(new Date(), { publicKey }).chain.slice(0, 1),
          ...softTsa(new Date()).chain.slice(1),
        ],
      },
    ),
    /hold together/,
  ],
];

let vault: SoftVault;
let house: TestInstallation;
const expiry = soon();

beforeAll(async () => {
  vault = await softVault({
    keys: [
      tsaKey("timestamp"),
      tsaKey("p384", {}, { algorithm: "ecdsa-p384" }),
      tsaKey("expiring", { notAfter: expiry }),
      ...unusable.map(([, key]) => key),
    ],
  });
  mkdirSync(join(vault.home, "run"), { recursive: true });
  house = await boot({ key: "timestamp", settleMs: 400 });
});
beforeEach(() => {
  clock.offsetMs = 0;
});
afterAll(async () => {
  await house.dispose();
  vault.dispose();
});

async function boot(timestamp: object): Promise<TestInstallation> {
  return await bootForTest({
    entries: [vault.entry, plugin],
    config: { hsm: vault.config, timestamp },
    home: vault.home,
    pin: vault.pin,
    clock,
  });
}

async function boots(timestamp: object, use: (house: TestInstallation) => Promise<void>) {
  await house.dispose();
  try {
    const other = await boot(timestamp);
    await use(other).finally(async () => await other.dispose());
  } finally {
    house = await boot({ key: "timestamp", settleMs: 400 });
  }
}

const query = (change: object = {}) =>
  formatTimestampRequest({
    hashAlgorithm: "sha256",
    messageImprint: imprint,
    policy: null,
    nonce: null,
    certReq: false,
    ...change,
  });
const asked = async (request: Uint8Array, by = house) =>
  await by.ask(createTimestamp, { form: "query", request });
const askedJson = async (text: string) =>
  await house.ask(createTimestamp, { form: "json", request: encodeUtf8(text) });

function text(response: Uint8Array): string {
  const path = join(vault.home, "reply");
  writeFileSync(path, response);
  return execFileSync("openssl", ["ts", "-reply", "-in", path, "-text"], { encoding: "utf8" });
}

describe("grants", () => {
  test("what is asked for, and openssl agrees", async () => {
    const nonce = Uint8Array.of(0x80, 7);
    const { granted, response } = await asked(query({ policy, nonce, certReq: true }));
    expect(granted).toBe(true);
    const token = parseTimestampResponse(response);
    expect(token).toMatchObject({ messageImprint: imprint, nonce, policy });
    expect(token.certificates).toHaveLength(1);
    const path = (name: string) => join(vault.home, name);
    const { certificates } = await house.ask(timestampChain, {});
    expect(certificates[0]).toEqual(token.certificates[0]);
    const pems = certificates.map((one) => formatPem("CERTIFICATE", one));
    writeFileSync(path("reply"), response);
    writeFileSync(path("root.pem"), pems.at(-1) ?? "");
    writeFileSync(path("chain.pem"), pems.join(""));
    const said = execFileSync(
      "openssl",
      ["ts", "-verify", "-in", path("reply"), "-digest", encodeHex(imprint)].concat([
        "-CAfile",
        path("root.pem"),
        "-untrusted",
        path("chain.pem"),
      ]),
      { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    );
    expect(said).toContain("Verification: OK");
  });

  test("many at once, no serial number twice, no time going back", async () => {
    const responses = await Promise.all(
      Array.from({ length: 200 }, async () => await asked(query())),
    );
    const serials = responses.map(({ response }) => {
      const { tstInfo } = parseTimestampResponse(response);
      return encodeHex(der.readDer(tstInfo).children()[3]?.content ?? new Uint8Array());
    });
    expect(new Set(serials).size).toBe(200);
    expect(serials.every((serial) => serial.length === 40)).toBe(true);
  });

  test("JSON with a nonce that no double holds", async () => {
    const nonce = 2n ** 159n - 1n;
    const { response } = await askedJson(
      `{"artifactHash":"${encodeBase64(imprint)}","hashAlgorithm":"sha256","nonce":${nonce}}`,
    );
    const token = parseTimestampResponse(response);
    expect(BigInt(`0x${encodeHex(token.nonce ?? new Uint8Array())}`)).toBe(nonce);
    expect(token.certificates).toEqual([]);
  });

  test("with a P-384 key, and with the whole chain", async () => {
    await boots({ key: "p384", includeChain: true }, async (other) => {
      const { response } = await asked(
        query({ hashAlgorithm: "sha384", messageImprint: sha384(imprint), certReq: true }),
        other,
      );
      const token = parseTimestampResponse(response);
      expect(token.signer.digestAlgorithm).toBe("sha384");
      const { certificates } = await other.ask(timestampChain, {});
      expect(token.certificates.map(encodeHex).toSorted()).toEqual(
        certificates.map(encodeHex).toSorted(),
      );
    });
  });
});

const weak = (oid: string, length: number) =>
  der.sequence(
    der.integer(1n),
    der.sequence(
      der.sequence(der.oid(oid), der.nullValue()),
      der.octetString(new Uint8Array(length)),
    ),
  );
const extended = der.sequence(
  ...der
    .readDer(query())
    .children()
    .map(({ encoded }) => encoded),
  der.implicit(0, der.sequence(der.oid("1.2.3"), der.octetString(imprint)), true),
);

describe("rejects in the response", () => {
  test.for<[string, Uint8Array, RegExp]>([
    ["SHA-1", weak("1.3.14.3.2.26", 20), /unrecognized or unsupported algorithm/i],
    ["MD5", weak("1.2.840.113549.2.5", 16), /unrecognized or unsupported algorithm/i],
    ["another policy", query({ policy: "1.2.3" }), /policy is not supported/i],
    ["an extension", extended, /extension is not supported/i],
    ["nothing", new Uint8Array(), /data submitted has the wrong format/i],
    ["one byte", Uint8Array.of(0x30), /data submitted has the wrong format/i],
    ["a trailing byte", Uint8Array.of(...query(), 0), /data submitted has the wrong format/i],
    ["an indefinite length", Uint8Array.of(0x30, 0x80, 0, 0), /wrong format/i],
    ["a length that overflows", Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff), /wrong format/i],
    ["a nonce of 21 bytes", query({ nonce: new Uint8Array(21).fill(1) }), /wrong format/i],
    ["SHA-256 of 31 bytes", query({ messageImprint: imprint.subarray(1) }), /wrong format/i],
    ["10,000 nested sequences", new Uint8Array(16_384).fill(0x30), /wrong format/i],
    [
      "an OID of thousands of arcs",
      query({ policy: `1.2${".3".repeat(8_000)}` }),
      /policy|format/i,
    ],
  ])("%s", async ([, request, reason]) => {
    const { granted, response } = await asked(request);
    expect(granted).toBe(false);
    const said = text(response);
    expect(said).toContain("Status: Rejected.");
    expect(said).toMatch(reason);
    expect(said).toContain("Not included.");
  });

  test("grants a nonce of 20 bytes", async () => {
    const nonce = new Uint8Array(20).fill(0xff);
    expect(parseTimestampResponse((await asked(query({ nonce }))).response).nonce).toEqual(nonce);
  });
});

describe("refuses JSON", () => {
  const hash = encodeBase64(imprint);
  const good = `"artifactHash":"${hash}","hashAlgorithm":"sha256"`;
  test.for<[string, string]>([
    ["that is none", "{"],
    ["that is a list", "[]"],
    ["without a hash", "{}"],
    ["with an unknown member", `{${good},"more":1}`],
    ["with a member twice", `{${good},"hashAlgorithm":"sha256"}`],
    ["with a short hash", `{"artifactHash":"AAAA","hashAlgorithm":"sha256"}`],
    ["with a hash that is not base64", `{"artifactHash":"*","hashAlgorithm":"sha256"}`],
    ["with certificates as text", `{${good},"certificates":"yes"}`],
    ["with a nonce as text", `{${good},"nonce":"1"}`],
    ["with a nonce with a fraction", `{${good},"nonce":1.5}`],
    ["with a nonce with an exponent", `{${good},"nonce":1e3}`],
    ["with a negative nonce", `{${good},"nonce":-1}`],
    ["with a nonce of 21 bytes", `{${good},"nonce":${2n ** 160n}}`],
    ["with a nonce of a million digits", `{${good},"nonce":1${"0".repeat(10_000)}}`],
    ["of more than 1 KiB", `{${good}${" ".repeat(1_024)}}`],
  ])("%s", async ([, request]) => {
    const startedAt = performance.now();
    await expect(askedJson(request)).toFailWith("malformed");
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  test.for([
    ["SHA-1", `{"artifactHash":"${hash}","hashAlgorithm":"sha1"}`],
    ["another policy", `{${good},"tsaPolicyOID":"1.2.3"}`],
  ] as const)("with %s, by rejecting", async ([, request]) => {
    expect((await askedJson(request)).granted).toBe(false);
  });
});

describe("tells no time", () => {
  test.for([-3_600_000, -150, 150, 3_600_000])(
    "while the clock is %i ms off, and again once it has been back for a while",
    async (stepMs) => {
      expect((await asked(query())).granted).toBe(true);
      clock.offsetMs = stepMs;
      await expect(asked(query())).toFailWith("time-unavailable");
      expect(house.health()["timestamp"]).toMatchObject({ status: "degraded" });
      clock.offsetMs = 0;
      await expect(asked(query())).toFailWith("time-unavailable");
      await sleep(200);
      await expect(asked(query())).toFailWith("time-unavailable");
      await sleep(700);
      expect((await asked(query())).granted).toBe(true);
      expect(house.health()["timestamp"]).toEqual({ status: "ok" });
    },
  );

  test("only for steps above the bound", async () => {
    for (const stepMs of [60, -30, 0]) {
      clock.offsetMs = stepMs;
      expect((await asked(query())).granted).toBe(true);
    }
  });

  test("until an operator confirms a clock that was set right", async () => {
    clock.offsetMs = 2_000;
    await expect(asked(query())).toFailWith("time-unavailable");
    await sleep(300);
    await confirmClock(vault.home);
    await sleep(1_000);
    const { response } = await asked(query());
    const { genTime } = parseTimestampResponse(response);
    expect(Math.abs(genTime.getTime() - Date.now() - 2_000)).toBeLessThan(1_500);
    // Setting it back is a step again; and what was stamped is not stamped over until it has passed.
    clock.offsetMs = 0;
    await expect(asked(query())).toFailWith("time-unavailable");
    await sleep(2_000);
    await confirmClock(vault.home);
    await sleep(1_000);
    expect((await asked(query())).granted).toBe(true);
  });

  test("past the end of its certificate (TC-T6)", async () => {
    await boots({ key: "expiring" }, async (other) => {
      let granted = 0;
      for (;;) {
        const outcome = await asked(query(), other).catch((error: unknown) => error);
        if (outcome instanceof Error) {
          expect(outcome).toMatchObject({ code: "key-unavailable" });
          break;
        }
        granted++;
        const { response } = outcome as { response: Uint8Array };
        expect(parseTimestampResponse(response).genTime <= expiry).toBe(true);
        await sleep(20);
      }
      expect(Date.now()).toBeGreaterThan(expiry.getTime());
      expect(granted).toBeGreaterThanOrEqual(0);
    });
  });
});

test.for(unusable)("does not start with the chain %s", async ([key, , reason]) => {
  await house.dispose();
  try {
    await expect(boot({ key })).rejects.toThrow(reason);
  } finally {
    house = await boot({ key: "timestamp", settleMs: 400 });
  }
});

test("an installation without a key has no authority, and is well", async () => {
  await boots({}, async (other) => {
    await expect(asked(query(), other)).toFailWith("not-found");
    await expect(other.ask(timestampChain, {})).toFailWith("not-found");
    expect(other.health()["timestamp"]).toEqual({ status: "ok" });
  });
});

describe("with a time source", () => {
  let socket: Socket;
  let port: number;
  let serverOffsetMs = 0;
  let silent = false;
  beforeAll(async () => {
    socket = createSocket("udp4");
    socket.on("message", (request, from) => {
      if (silent) return;
      socket.send(ntpReply(request, Date.now() + serverOffsetMs), from.port, from.address);
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    ({ port } = socket.address());
  });
  afterAll(() => {
    socket.close();
  });

  const ntp = () => ({
    servers: [`127.0.0.1:${port}`],
    everyMs: 100,
    maxOffsetMs: 500,
    graceMs: 300,
  });

  test("tells the time while they agree, and none while they do not", async () => {
    await boots({ key: "timestamp", ntp: ntp() }, async (other) => {
      expect((await asked(query(), other)).granted).toBe(true);
      serverOffsetMs = 5_000;
      await sleep(400);
      await expect(asked(query(), other)).toFailWith("time-unavailable");
      serverOffsetMs = 100;
      await sleep(400);
      expect((await asked(query(), other)).granted).toBe(true);
    });
  });

  test("tells none before the source has answered", async () => {
    silent = true;
    await boots({ key: "timestamp", ntp: ntp() }, async (other) => {
      await expect(asked(query(), other)).toFailWith("time-unavailable");
      silent = false;
      await sleep(2_400);
      expect((await asked(query(), other)).granted).toBe(true);
    });
  });
});

/** A reply of stratum 1 with the time at which it is sent. */
function ntpReply(request: Uint8Array, nowMs: number): Uint8Array {
  const reply = new Uint8Array(48);
  const view = new DataView(reply.buffer);
  view.setUint8(0, (4 << 3) | 4);
  view.setUint8(1, 1);
  reply.set(request.subarray(40, 48), 24);
  for (const at of [32, 40]) {
    view.setUint32(at, Math.floor(nowMs / 1_000) + 2_208_988_800);
    view.setUint32(at + 4, Math.floor(((nowMs % 1_000) / 1_000) * 2 ** 32));
  }
  return reply;
}
