/** A log of a live instance is frozen and gets a successor: what it refuses, what it goes on showing, and what a stranger's client sees. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectReady } from "../support/kill-stream.ts";
import { chancery } from "../support/instance.ts";
import { expectKept } from "../support/oracle.ts";
import { Stranger } from "../support/stranger.ts";
import { monitor } from "../plugins/ct-house.ts";
import { hashedRekord, signer } from "../plugins/rekor/proposals.ts";

let stranger: Stranger;

beforeAll(async () => {
  stranger = await Stranger.arrive();
});
afterAll(async () => await stranger?.[Symbol.asyncDispose]());

test("a log is frozen: its entries are refused and shown, and everything else goes on", async () => {
  const bundle = await stranger.buildV2();
  const [entry] = bundle.verificationMaterial.tlogEntries;
  stranger.bundles.push({ when: "in v2 before the freeze", bundle });
  const refused = await stranger.operate("freeze-log", "rekor-v2");
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain("create its successor first");
  const before = await checkpoint();
  const stream = stranger.stream();
  expect(await stranger.operate("freeze-log", "rekor-v2", "--without-successor")).toMatchObject({
    code: 0,
  });
  expect(await stranger.signAndVerify("after the freeze")).toContain("issuing CA");
  const policy = join(stranger.instance.home, "policy.yaml");
  const allowed = await readFile(policy, "utf8");
  for (const again of [false, true]) {
    if (again) {
      await expectKept(stranger.instance.origin, await stream.end());
      // Where the policy lets nobody sign as a proof, a home that was proved once serves all the same.
      await writeFile(policy, "version: closed\ndefault: deny\nrules: []\n");
      await stranger.restart();
      await writeFile(policy, allowed);
    }
    const posted = await postAgain(entry?.canonicalizedBody ?? "");
    expect(posted.status).toBe(405);
    expect(await posted.text()).toContain("the log is frozen and takes no more entries");
    expect(await checkpoint()).toBe(before);
    const tile = await fetch(
      `${stranger.instance.origin}/tile/entries/000.p/${before.split("\n")[1]}`,
    );
    expect(tile.status).toBe(200);
  }
  await stranger.verifyAll();
  await stranger.expectClean();
});

test("a successor takes what the frozen log refuses", async () => {
  const frozen = await checkpoint();
  const created = await stranger.operate(
    "create-log",
    "rekor-v2-b",
    "--format",
    "rekor-v2",
    "--serve",
  );
  expect(created).toMatchObject({ code: 0 });
  // The instance is as it was until its services start again.
  expect(await checkpoint()).toBe(frozen);
  process.kill(await stranger.instance.pid("services"), "SIGKILL");
  await expectServing("rekor-v2-b");
  const bundle = await stranger.buildV2();
  stranger.bundles.push({ when: "in the successor", bundle });
  const logs = new Set(
    stranger.bundles.flatMap(({ bundle: { verificationMaterial } }) =>
      verificationMaterial.tlogEntries.map(({ logId }) => logId.keyId),
    ),
  );
  expect(logs.size).toBe(3);
  expect(await (await fetch(`${stranger.instance.origin}/logs/rekor-v2/checkpoint`)).text()).toBe(
    frozen,
  );
  const again = await stranger.operate(
    "create-log",
    "rekor-v2-b",
    "--format",
    "rekor-v2",
    "--serve",
  );
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toContain("was done before");
});

test("the CT log gets its next shard, and certificates go there by their dates", async () => {
  const { origin } = stranger.instance;
  const now = new Date(Date.now() - 1_000).toISOString().replace(/\.\d+Z$/, "Z");
  const flags = ["--format", "rfc6962", "--start", now, "--end", "2099-01-01"];
  const overlapping = ["--format", "rfc6962", "--start", "2098-01-01", "--end", "2097-01-01"];
  expect(await stranger.operate("create-log", "ct-next", ...overlapping)).toMatchObject({
    code: 1,
  });
  expect(await stranger.operate("create-log", "ct-next", ...flags)).toMatchObject({ code: 0 });
  const again = await stranger.operate("create-log", "ct-next", "--format", "rfc6962", "--json");
  expect(JSON.parse(again.stdout)).toMatchObject({ wasDone: true });
  const before = await sizeOf("ct");
  process.kill(await stranger.instance.pid("services"), "SIGKILL");
  await expectServing("ct-next");
  await stranger.signAndVerify("in the next shard");
  expect(await sizeOf("ct")).toBe(before);
  const { ctlogs } = JSON.parse(
    await readFile(join(stranger.instance.home, "trust", "trusted_root.json"), "utf8"),
  ) as { ctlogs: { baseUrl: string; publicKey: { rawBytes: string } }[] };
  expect(ctlogs.map(({ baseUrl }) => baseUrl)).toEqual([
    `${origin}/logs/ct`,
    `${origin}/logs/ct-next`,
  ]);
  const read = await monitor(
    `${origin}/logs/ct-next/ct/v1`,
    Buffer.from(ctlogs[1]?.publicKey.rawBytes ?? "", "base64"),
  );
  expect(read).toHaveLength(1);
  // The one before takes no more of what is issued now, and can be frozen.
  expect(await stranger.operate("freeze-log", "ct-next")).toMatchObject({ code: 1 });
  expect(await stranger.operate("freeze-log", "ct")).toMatchObject({ code: 0 });
});

test("Rekor v1 gets its next tree, in which indices go on", async () => {
  const { origin } = stranger.instance;
  const flags = ["--format", "rekor-v1", "--serve"];
  const early = await stranger.operate("create-log", "rekor-b", ...flags);
  expect([early.code, early.stderr]).toEqual([1, expect.stringContaining("freeze it first")]);
  const frozen = await stranger.operate("freeze-log", "rekor", "--without-successor");
  expect(frozen).toMatchObject({ code: 0 });
  expect(await stranger.operate("create-log", "rekor-b", ...flags)).toMatchObject({ code: 0 });
  process.kill(await stranger.instance.pid("services"), "SIGKILL");
  await expectServing("rekor-b");
  await stranger.signAndVerify("in the next tree of Rekor v1");
  const log = (await (await fetch(`${origin}/api/v1/log`)).json()) as {
    treeID: string;
    treeSize: number;
    inactiveShards: { treeSize: number }[];
  };
  expect(log).toMatchObject({ treeSize: 1, inactiveShards: [{ treeSize: expect.any(Number) }] });
  const first = log.inactiveShards[0]?.treeSize ?? 0;
  const [entry] = stranger.bundles.at(-1)?.bundle.verificationMaterial.tlogEntries ?? [];
  expect(entry?.logIndex).toBe(String(first));
  for (const index of [0, first - 1, first]) {
    const found = await fetch(`${origin}/api/v1/log/entries?logIndex=${index}`);
    expect(await found.json()).toMatchObject({
      [Object.keys((await (await fetch(found.url)).json()) as object)[0] ?? ""]: {
        logIndex: index,
      },
    });
  }
  for (const log of ["rekor", "rekor-b"]) {
    const args = ["log", "show", "--log", log, "--index", "0", "--json"];
    const shown = await chancery(stranger.instance.home, ...args);
    expect(JSON.parse(shown.stdout)).toMatchObject({ log, index: "0" });
  }
  await stranger.verifyAll();
  await stranger.expectClean();
});

test("Rekor is rolled while entries come: nothing is refused, nothing restarts", async () => {
  const { origin, home } = stranger.instance;
  const services = await stranger.instance.pid("services");
  const old = await describeRekor();
  const frozen = { v2: await checkpoint() };
  const lane = proposals();
  const rolled = await chancery(home, "log", "roll", "rekor-b", "--json");
  expect(rolled).toMatchObject({ code: 0 });
  const answers = await lane.end();
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect(answers.length).toBeGreaterThan(2);
  const described = await describeRekor();
  expect(described.treeID).not.toBe(old.treeID);
  expect(described.inactiveShards.at(-1)?.treeID).toBe(old.treeID);
  expect(described.inactiveShards).toHaveLength(old.inactiveShards.length + 1);
  const first = described.inactiveShards.reduce((sum, { treeSize }) => sum + treeSize, 0);
  const indices = answers.map(({ index }) => index).toSorted((a, b) => a - b);
  const from = indices[0] ?? 0;
  // The index that is nobody's is the final checkpoint's.
  const all = Array.from({ length: indices.length + 1 }, (_, at) => from + at);
  expect(indices).toEqual(all.filter((index) => index !== first).slice(0, indices.length));
  for (const { id, index } of answers) {
    const found = (await (await fetch(`${origin}/api/v1/log/entries/${id}`)).json()) as {
      [id: string]: { logIndex: number };
    };
    expect(found[id]?.logIndex).toBe(index);
  }
  await stranger.signAndVerify("after Rekor v1 was rolled");

  // The successor's key is of the other kind.
  const toEd25519 = await stranger.operate("roll-log", "rekor-v2-b", "--algorithm", "ed25519");
  expect(toEd25519).toMatchObject({ code: 0 });
  expect(await checkpoint()).not.toBe(frozen.v2);
  expect(await (await fetch(`${origin}/logs/rekor-v2-b/checkpoint`)).text()).toContain(
    frozen.v2.split("\n")[1],
  );
  stranger.bundles.push({ when: "after Rekor v2 was rolled", bundle: await stranger.buildV2() });
  const { tlogs } = JSON.parse(
    await readFile(join(home, "trust", "trusted_root.json"), "utf8"),
  ) as {
    tlogs: { publicKey: { keyDetails: string } }[];
  };
  expect(tlogs.at(-1)?.publicKey.keyDetails).toBe("PKIX_ED25519");
  expect(await stranger.instance.pid("services")).toBe(services);
  const again = await chancery(home, "log", "roll", "rekor-b");
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining("was done before") });

  process.kill(services, "SIGKILL");
  await expectServing("rekor-b-s2");
  await stranger.signAndVerify("after the roll and a restart");
  await stranger.verifyAll();
  await stranger.expectClean();
});

test("a log that was rolled is retired: its key signs nothing more, and it is read as before", async () => {
  const { origin, home } = stranger.instance;
  const early = await stranger.operate("retire-log", "rekor-b-s2");
  expect([early.code, early.stderr]).toEqual([1, expect.stringContaining("taken over from")]);
  const before = await (await fetch(`${origin}/logs/rekor-b/checkpoint`)).text();
  expect(await stranger.operate("retire-log", "rekor-b")).toMatchObject({ code: 0 });
  const again = await stranger.operate("retire-log", "rekor-b", "--json");
  expect(JSON.parse(again.stdout)).toMatchObject({ wasDone: true });
  const { keys } = JSON.parse(await readFile(join(home, "vault", "keyring.json"), "utf8")) as {
    keys: { label: string; retired?: true }[];
  };
  expect(keys.filter(({ retired }) => retired).map(({ label }) => label)).toEqual(["rekor-b-log"]);
  process.kill(await stranger.instance.pid("services"), "SIGKILL");
  await expectServing("rekor-b");
  expect(await (await fetch(`${origin}/logs/rekor-b/checkpoint`)).text()).toBe(before);
  expect((await describeRekor()).inactiveShards).toHaveLength(2);
  await stranger.signAndVerify("after a log was retired");
  await stranger.verifyAll();
  await stranger.expectClean();
});

interface Described {
  readonly treeID: string;
  readonly inactiveShards: readonly { readonly treeID: string; readonly treeSize: number }[];
}

async function describeRekor(): Promise<Described> {
  return (await (await fetch(`${stranger.instance.origin}/api/v1/log`)).json()) as Described;
}

/** Entries of Rekor v1, one after the other, until it is ended. */
function proposals() {
  const alice = signer("P-256");
  const seen: { status: number; index: number; id: string }[] = [];
  let over = false;
  const lane = (async () => {
    for (let at = 0; !over; at++) {
      const artifact = new TextEncoder().encode(`rolled ${at}`);
      const answer = await fetch(`${stranger.instance.origin}/api/v1/log/entries`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(hashedRekord(alice, artifact)),
      });
      const body = (await answer.json()) as { [id: string]: { logIndex: number } };
      const id = answer.headers.get("etag") ?? "";
      seen.push({ status: answer.status, index: body[id]?.logIndex ?? -1, id });
      await sleep(10);
    }
  })();
  return {
    async end() {
      over = true;
      await lane;
      return seen;
    },
  };
}

async function sizeOf(log: string): Promise<number> {
  const answer = await fetch(`${stranger.instance.origin}/logs/${log}/ct/v1/get-sth`);
  return ((await answer.json()) as { tree_size: number }).tree_size;
}

async function postAgain(canonicalizedBody: string): Promise<Response> {
  const { spec } = JSON.parse(Buffer.from(canonicalizedBody, "base64").toString()) as {
    spec: { hashedRekordV002: { data: { digest: string }; signature: object } };
  };
  const { data, signature } = spec.hashedRekordV002;
  return await fetch(`${stranger.instance.origin}/api/v2/log/entries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ hashedRekordRequestV002: { digest: data.digest, signature } }),
  });
}

async function checkpoint(): Promise<string> {
  return await (await fetch(`${stranger.instance.origin}/checkpoint`)).text();
}

/** The services have ended and started again, with this log. */
async function expectServing(log: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 100) {
    const answer = await fetch(`${stranger.instance.origin}/logs/${log}/checkpoint`).catch(
      () => null,
    );
    if (answer?.status === 200) break;
    await sleep(100);
  }
  await expectReady(stranger.instance.origin, 30_000);
}
