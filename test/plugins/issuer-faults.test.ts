import { expect, test } from "vitest";
import type { AnswerOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type { appendEntry } from "../../events/log.ts";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { digitallySigned, parseMerkleTreeLeaf, sctSignatureInput } from "../../core/formats/sct.ts";
import issuer from "../../plugins/issuer/plugin.ts";
import { softSign } from "../crypto/soft-authority.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { boot, rows } from "./issuer-house.ts";
import { issuerRooms, principal, provenance } from "./issuer-rooms.ts";
import "../support/matchers.ts";

type Appended = AnswerOf<typeof appendEntry>;
const down: readonly [string, (answer: Appended) => Appended][] = [
  [
    "is down",
    () => {
      throw new Failure("log-unavailable", "down");
    },
  ],
  [
    "has lost its key",
    () => {
      throw new Failure("key-unavailable", "gone");
    },
  ],
  [
    "breaks",
    () => {
      throw new Error("bug");
    },
  ],
  [
    "gives no SCT",
    (answer) => {
      const { promise: _promise, ...rest } = answer;
      return rest;
    },
  ],
  ["gives another log's SCT", (answer) => ({ ...answer, logId: new Uint8Array(32) })],
  [
    "gives an SCT from the future",
    (answer) => ({ ...answer, integratedAtMs: answer.integratedAtMs + 60_000n }),
  ],
  [
    "gives an old SCT",
    (answer) => ({ ...answer, integratedAtMs: answer.integratedAtMs - 3_600_000n }),
  ],
  [
    "gives an SCT for another time",
    (answer) => ({ ...answer, integratedAtMs: answer.integratedAtMs + 1n }),
  ],
  ["gives garbage", (answer) => ({ ...answer, promise: new Uint8Array(70).fill(7) })],
  ["gives nothing", (answer) => ({ ...answer, promise: new Uint8Array() })],
  [
    "names another algorithm",
    (answer) => ({ ...answer, promise: (answer.promise ?? new Uint8Array()).with(0, 5) }),
  ],
];

test.each(down)("no certificate is given out when the log %s", async (_, onAppend) => {
  await using house = await boot();
  house.rooms.onAppend = onAppend;
  await expect(house.issue()).toFailWith("log-unavailable");
  const [fact, ...more] = await house.facts();
  expect(more).toEqual([]);
  expect(fact?.name).toBe("certificateRefused");
  expect(fact?.body.code).toBe("log-unavailable");
  // A certificate may exist if the vault has signed a promise, whatever the log made of it; otherwise none does.
  const isCertified = house.rooms.signed.some(({ kind }) => kind === "certificate");
  const stage = isCertified ? "certificate signed" : "certificate asked for";
  expect(fact?.body.reason).toContain(`after "${stage}"`);
  expect(fact?.body.serial).toHaveLength(20);
  expect(fact?.body.subject).toBe(principal.subject);
  expect(await rows(house.storage, "open")).toEqual([]);
});

test("an SCT for another certificate is refused", async () => {
  await using house = await boot();
  let first: Appended | undefined;
  house.rooms.onAppend = (answer) => (first ??= answer);
  await house.issue();
  await expect(house.issue()).toFailWith("log-unavailable");
  expect((await house.facts()).map(({ name }) => name)).toEqual([
    "certificateIssued",
    "certificateRefused",
  ]);
});

test("a good SCT is refused if it is not the one in the certificate", async () => {
  await using house = await boot();
  const { rooms } = house;
  rooms.onAppend = (answer) => {
    const entry = parseMerkleTreeLeaf(rooms.entries.at(-1)?.leaf ?? new Uint8Array());
    return {
      ...answer,
      promise: digitallySigned(softSign(rooms.logKey, sctSignatureInput(entry))),
    };
  };
  await expect(house.issue()).toFailWith("log-unavailable");
  const [fact] = await house.facts();
  expect(fact?.body.reason).toContain("another SCT than the log answered");
  expect(fact?.body.reason).toContain('after "certificate signed"');
});

test("no certificate is given out before the log has answered, though the vault has made it", async () => {
  await using house = await boot();
  const { rooms } = house;
  rooms.afterPromise = () => {
    throw new Failure("log-unavailable", "the answer is lost");
  };
  await expect(house.issue()).toFailWith("log-unavailable");
  expect((await house.facts()).map(({ name }) => name)).toEqual(["certificateRefused"]);
});

test.each(["precertificate", "certificate"] as const)(
  "when the vault fails at the %s, the intent is given up and never tried again",
  async (kind) => {
    await using house = await boot();
    house.rooms.onSign = (asked) => {
      if (asked === kind) throw new Failure("key-unavailable", "the token is gone");
    };
    await expect(house.issue()).toFailWith("key-unavailable");
    const [fact] = await house.facts();
    expect(fact?.body).toMatchObject({ code: "key-unavailable" });
    expect(fact?.body.reason).toContain(`${kind} asked for`);
    expect(house.rooms.signed.filter((asked) => asked.kind === kind)).toHaveLength(1);
    expect(await rows(house.storage, "open")).toEqual([]);
  },
);

const who = {
  oidcIssuer: principal.oidcIssuer,
  subject: principal.subject,
  san: principal.san.value,
};
/** As releases wrote it whose intents were JSON whole. */
const oldIntent = {
  version: 1,
  ...who,
  tokenDigest: "ab".repeat(32),
  publicKeyHash: "cd".repeat(32),
  notBefore: "2026-11-21T12:00:00.000Z",
  verdict: "e30=",
  mac: "ef".repeat(32),
  requestId: "old-request",
  provenance: {
    ...provenance,
    mappingSha256: encodeHex(provenance.mappingSha256),
    decision: {
      ...provenance.decision,
      policySha256: encodeHex(provenance.decision?.policySha256 ?? new Uint8Array()),
    },
  },
};
const { requestId: _request, provenance: _provenance, ...oldestIntent } = oldIntent;
const asRow = (intent: unknown) => encodeUtf8(JSON.stringify(intent));

test.each([
  ["one", null, { ...who, provenance }],
  [
    "one of version 1",
    asRow(oldIntent),
    { ...who, provenance, requestId: "old-request", tokenDigest: new Uint8Array(32).fill(0xab) },
  ],
  ["one of the oldest", asRow(oldestIntent), who],
])("what a crash left open is given up at the next start: %s", async (_, value, told) => {
  const rooms = issuerRooms();
  const storage = memoryStorage();
  {
    await using house = await boot(rooms, storage);
    await house.issue();
  }
  await reopen(storage, value);
  {
    await using house = await boot(rooms, storage);
    const facts = await house.facts();
    expect(facts.map(({ name }) => name)).toEqual(["certificateIssued", "certificateRefused"]);
    expect(facts[1]?.body.reason).toContain("unknown-signed");
    expect(facts[1]?.body.serial).toEqual(lostSerial);
    expect(facts[1]?.body).toMatchObject(told);
    expect(await rows(storage, "open")).toEqual([]);
    await house.issue();
  }
});

const lostSerial = new Uint8Array(20).fill(0x55);

/** Puts an intent into the store as a crash right after the first commit leaves it. */
async function reopen(
  storage: ReturnType<typeof memoryStorage>,
  value: Uint8Array | null,
): Promise<void> {
  const shape = {
    tables: [...(issuer.manifest.keeps?.tables ?? []), "cursors"],
    streams: ["facts"],
  };
  await using partition = await storage.open("issuer", shape);
  const [intent] = await partition.scan("intents", { limit: 1 });
  await partition.commit({
    writes: [
      { table: "intents", key: lostSerial, value: value ?? intent?.value ?? new Uint8Array() },
      { table: "open", key: lostSerial, value: new Uint8Array() },
    ],
  });
}

test("a CT log that is frozen is named as such", async () => {
  await using house = await boot();
  house.rooms.onAppend = () => {
    throw new Failure("log-frozen", "frozen");
  };
  await expect(house.issue()).toFailWith("log-frozen");
});

test("TC-F9: what a log says is written down as one short line", async () => {
  await using house = await boot();
  house.rooms.onAppend = () => {
    throw new Failure("log-unavailable", `\u001b[31mred\r\nforged line ${"x".repeat(2 ** 20)}`);
  };
  await expect(house.issue()).toFailWith("log-unavailable");
  const [fact] = await house.facts();
  expect(fact?.body.reason?.length).toBeLessThan(1_024);
  expect(fact?.body.reason).not.toMatch(/\p{Cc}/u);
});
