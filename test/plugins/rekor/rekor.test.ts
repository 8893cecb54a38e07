/** The Rekor service: what it logs, what it answers about it, and everything it refuses without touching the log. */
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { decodeUtf8, encodeHex, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { leafHash, verifyInclusion } from "../../../core/formats/merkle.ts";
import { formatSetPayload } from "../../../core/formats/rekor-entry.ts";
import { Failure } from "../../../events/failure.ts";
import {
  createEntry,
  describeLog,
  getEntry,
  type LogEntry,
  proveLog,
} from "../../../events/rekor.ts";
import plugin from "../../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { fakeLog } from "./fake-log.ts";
import { bytesOf, dsse, envelope, hashedRekord, signer } from "./proposals.ts";

const treeId = "1193050959916656506";
const treeHex = BigInt(treeId).toString(16).padStart(16, "0");
const log = fakeLog(treeId);
const alice = signer("P-256");
const bob = signer("ed25519");
const text = encodeUtf8("hello");
let house: TestInstallation;
let counter = 0;

beforeAll(async () => {
  house = await bootForTest({ entries: [...log.plugins, plugin], config: { rekor: { treeId } } });
});
beforeEach(() => log.fail(null));
afterAll(async () => {
  await house.dispose();
});

const fresh = () => encodeUtf8(`artifact ${counter++}`);
const create = async (proposed: unknown) =>
  await house.ask(createEntry, { proposed: bytesOf(proposed) });

/** Expects a refusal that leaves the log as it was. */
async function refuses(proposed: Uint8Array, ...codes: readonly string[]): Promise<Failure> {
  const size = log.bodies.length;
  const failure: unknown = await house.ask(createEntry, { proposed }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(failure).toBeInstanceOf(Failure);
  const refused = Failure.from(failure);
  expect(codes.length === 0 ? [refused.code] : codes).toContain(refused.code);
  expect(refused.code).not.toBe("internal");
  expect(log.bodies).toHaveLength(size);
  return refused;
}

/** Every promise in an entry, held against the log's key. */
function checkPromises(entry: LogEntry): void {
  const { body, inclusionProof: proof } = entry;
  const hash = leafHash(body);
  expect(entry.entryId).toBe(`${treeHex}${encodeHex(hash)}`);
  expect(entry.logId).toEqual(new Uint8Array(createHash("sha256").update(log.publicKey).digest()));
  const key = createPublicKey({ key: Buffer.from(log.publicKey), format: "der", type: "spki" });
  expect(verify("sha256", formatSetPayload(entry), key, entry.signedEntryTimestamp)).toBe(true);
  const { index, size, root, hashes } = proof;
  expect(verifyInclusion({ index, size, root, leafHash: hash, proof: hashes })).toBe(true);
  expect(proof.checkpoint).toContain(`localhost - ${treeId}\n${size}\n`);
}

describe("hashedrekord", () => {
  test.for([
    ["P-256", "sha256"],
    ["P-256", "sha512"],
    ["P-384", "sha384"],
    ["P-384", "sha256"],
    ["rsa", "sha256"],
    ["rsa", "sha512"],
    ["ed25519", "sha512"],
  ] as const)("logs a signature by %s over %s", async ([kind, algorithm]) => {
    const proposed = hashedRekord(signer(kind), fresh(), algorithm);
    const { entry, known } = await create(proposed);
    expect(known).toBe(false);
    checkPromises(entry);
    expect(JSON.parse(decodeUtf8(entry.body))).toEqual(proposed);
  });

  test("is known when it comes again, with the same index and promise", async () => {
    const proposed = hashedRekord(alice, fresh());
    const first = await create(proposed);
    const second = await create({ ...proposed, unknown: true });
    expect(second.known).toBe(true);
    expect(second.entry.logIndex).toBe(first.entry.logIndex);
    expect(second.entry.entryId).toBe(first.entry.entryId);
    checkPromises(second.entry);
  });
});

describe("hashedrekord refusals", () => {
  test("refuses a digest that was signed with pure Ed25519, and says what to do", async () => {
    const failure = await refuses(bytesOf(hashedRekord(bob, text, "sha256")), "key-insecure");
    expect(failure.message).toMatch(/Ed25519ph with sha512, or a dsse entry/);
  });

  test("refuses an Ed25519ph signature over another digest, and one with a larger s", async () => {
    const good = hashedRekord(bob, fresh(), "sha512");
    const other = hashedRekord(bob, fresh(), "sha512");
    const { signature } = good.spec;
    await refuses(
      bytesOf({ ...good, spec: { ...good.spec, data: other.spec.data } }),
      "signature-invalid",
    );
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const bytes = Buffer.from(signature.content, "base64");
    const s = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString("hex")}`) + order;
    const larger = Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse();
    const content = Buffer.concat([bytes.subarray(0, 32), larger]).toString("base64");
    const malleated = { ...good.spec, signature: { ...signature, content } };
    await refuses(bytesOf({ ...good, spec: malleated }), "signature-invalid");
  });

  test("refuses a signature by another key, over another digest or under another algorithm", async () => {
    const good = hashedRekord(alice, fresh());
    const other = hashedRekord(signer("P-256"), fresh());
    const longer = hashedRekord(alice, fresh(), "sha512");
    for (const spec of [
      { ...good.spec, data: other.spec.data },
      { ...good.spec, data: longer.spec.data },
      { ...good.spec, signature: other.spec.signature },
      { ...good.spec, signature: { ...good.spec.signature, content: "AAAA" } },
    ]) {
      await refuses(bytesOf({ ...good, spec }), "signature-invalid");
    }
  });

  test("refuses a weak key", async () => {
    await refuses(bytesOf(hashedRekord(signer("rsa-1024"), text)), "key-insecure");
  });

  test("does not care that a real certificate expired long ago", async () => {
    const bundle = JSON.parse(
      readFileSync(new URL("../../vectors/rekor/othername.sigstore.json", import.meta.url), "utf8"),
    ) as { verificationMaterial: { tlogEntries: [{ canonicalizedBody: string }] } };
    const [{ canonicalizedBody }] = bundle.verificationMaterial.tlogEntries;
    const body = new Uint8Array(Buffer.from(canonicalizedBody, "base64"));
    // A canonical body is itself a proposal of the same entry.
    const { entry } = await house.ask(createEntry, { proposed: body });
    expect(entry.body).toEqual(body);
  });
});

describe("dsse", () => {
  const type = "application/vnd.in-toto+json";

  test("logs an envelope with one signature, and with two", async () => {
    for (const by of [[alice], [alice, bob], [bob, alice, signer("rsa")]]) {
      const { entry } = await create(dsse(envelope(by, type, fresh()), by.toReversed()));
      checkPromises(entry);
      const { spec } = JSON.parse(decodeUtf8(entry.body)) as { spec: { signatures: unknown[] } };
      expect(spec.signatures).toHaveLength(by.length);
    }
  });

  test("is another entry when the envelope is written in another way", async () => {
    const payload = fresh();
    const signed = envelope([alice], type, payload);
    const { signatures, payload: encoded } = signed;
    const first = await create(dsse(signed, [alice]));
    const second = await create(dsse({ signatures, payload: encoded, payloadType: type }, [alice]));
    expect(second.entry.entryId).not.toBe(first.entry.entryId);
  });

  test("refuses a signature over the payload alone", async () => {
    const signed = envelope([alice], type, text);
    const raw = hashedRekord(alice, text).spec.signature.content;
    await refuses(
      bytesOf(dsse({ ...signed, signatures: [{ sig: raw }] }, [alice])),
      "signature-invalid",
    );
  });

  test("refuses a type and payload whose encoding together was signed", async () => {
    // PAE counts bytes, so moving the border between type and payload must not keep a signature valid.
    const signed = envelope([alice], "a", encodeUtf8("b c"));
    const moved = { ...signed, payloadType: "a", payload: Buffer.from("b").toString("base64") };
    await refuses(bytesOf(dsse(moved, [alice])), "signature-invalid");
    await refuses(bytesOf(dsse({ ...signed, payloadType: "6 payload" }, [alice])), "malformed");
  });

  test("refuses a signature without verifier, and a verifier without signature", async () => {
    const both = envelope([alice, bob], type, text);
    await refuses(bytesOf(dsse(both, [alice])), "signature-invalid");
    await refuses(bytesOf(dsse(envelope([alice], type, text), [alice, bob])), "signature-invalid");
    await refuses(
      bytesOf(dsse(envelope([alice], type, text), [alice, alice])),
      "signature-invalid",
    );
  });
});

describe("getEntry", () => {
  test("finds an entry by index, by both ids in either case, and by its proposed form", async () => {
    const proposed = hashedRekord(alice, fresh());
    const { entry } = await create(proposed);
    await create(hashedRekord(alice, fresh()));
    const ids = [entry.entryId, entry.entryId.slice(16), entry.entryId.toUpperCase()];
    const found = [
      await read({ kind: "index", index: entry.logIndex }),
      await read({ kind: "proposed", proposed: bytesOf(proposed) }),
      ...(await Promise.all(ids.map(async (id) => await read({ kind: "id", id })))),
    ];
    for (const again of found) {
      checkPromises(again);
      expect(again.entryId).toBe(entry.entryId);
    }
  });

  test("finds nothing beyond the end, in another tree, or that was never logged", async () => {
    const { entry } = await create(hashedRekord(alice, fresh()));
    const proposed = bytesOf(hashedRekord(alice, fresh()));
    const elsewhere = `${"0".repeat(15)}1${entry.entryId.slice(16)}`;
    for (const by of [
      { kind: "index", index: BigInt(log.bodies.length) },
      { kind: "index", index: 2n ** 63n - 1n },
      { kind: "id", id: elsewhere },
      { kind: "id", id: "00".repeat(32) },
      { kind: "proposed", proposed },
    ] as const) {
      await expect(read(by)).rejects.toMatchObject({ code: "not-found" });
    }
  });

  test.for(["", "xyz", "0".repeat(63), "0".repeat(81), "g".repeat(64)])(
    "refuses the id %j",
    async (id) => {
      await expect(read({ kind: "id", id })).rejects.toMatchObject({ code: "malformed" });
    },
  );

  test("refuses to look for what it would refuse to log", async () => {
    const proposed = bytesOf({ ...hashedRekord(alice, text), kind: "cose" });
    const failing = read({ kind: "proposed", proposed });
    await expect(failing).rejects.toMatchObject({ code: "entry-unsupported" });
  });
});

describe("the log", () => {
  test("is described with its tree id, head and key", async () => {
    await create(hashedRekord(alice, fresh()));
    const described = await house.ask(describeLog, {});
    expect(described).toMatchObject({
      treeId,
      size: BigInt(log.bodies.length),
      publicKey: log.publicKey,
    });
  });

  test("is proved between sizes in order, and only under its own tree id", async () => {
    await create(hashedRekord(alice, fresh()));
    const last = BigInt(log.bodies.length);
    const { root } = await house.ask(proveLog, { first: 1n, last, treeId });
    expect(root).toEqual((await house.ask(describeLog, {})).root);
    for (const [first, second] of [
      [0n, last],
      [2n, 1n],
      [1n, last + 1n],
    ] as const) {
      const failing = house.ask(proveLog, { first, last: second });
      await expect(failing).rejects.toMatchObject({ code: "out-of-range" });
    }
    const elsewhere = house.ask(proveLog, { first: 1n, last, treeId: "1" });
    await expect(elsewhere).rejects.toMatchObject({ code: "not-found" });
  });

  test("that is down is said to be unavailable", async () => {
    const proposed = bytesOf(hashedRekord(alice, fresh()));
    log.fail(new Failure("log-unavailable", "down"));
    await refuses(proposed, "log-unavailable");
    log.fail(new Failure("not-found", "there is no such log"));
    await refuses(proposed, "log-unavailable");
    await expect(house.ask(describeLog, {})).rejects.toMatchObject({ code: "log-unavailable" });
  });

  test("of another tree id than the configured one is not used", async () => {
    const entries = [...fakeLog("2").plugins, plugin];
    await using other = await bootForTest({ entries, config: { rekor: { treeId } } });
    const proposed = bytesOf(hashedRekord(alice, fresh()));
    const failing = other.ask(createEntry, { proposed });
    await expect(failing).rejects.toMatchObject({ code: "log-unavailable" });
  });
});

async function read(
  by:
    | { readonly kind: "index"; readonly index: bigint }
    | { readonly kind: "id"; readonly id: string }
    | { readonly kind: "proposed"; readonly proposed: Uint8Array },
): Promise<LogEntry> {
  return await house.ask(getEntry, { by });
}
