/** The engine of ceremonies: what it refuses, and that it goes on after being killed anywhere. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCeremony } from "../../hsm/ceremony/run.ts";
import {
  dryRunCeremony,
  formatReport,
  performCeremony,
  rehearseCeremony,
  verifyTranscript,
} from "../../hsm/commands.ts";
import { ceremonyHome, type CeremonyHome, killed, smallScript } from "../support/ceremony.ts";

/** A rehearsal is of a script and its parameters, wherever: one serves every home. */
let rehearsed: CeremonyHome;
beforeAll(async () => {
  rehearsed = ceremonyHome();
  await rehearseCeremony(rehearsed.request);
});
afterAll(() => rehearsed[Symbol.dispose]());

const rehearsalPath = "ceremony/small.rehearsal.jsonl";
function rehearsedHome(): CeremonyHome {
  const at = ceremonyHome();
  cpSync(join(rehearsed.home, rehearsalPath), join(at.home, rehearsalPath));
  return at;
}

const transcriptPath = "ceremony/small.transcript.jsonl";

function requireWhole({ home, read }: CeremonyHome): void {
  const { lines } = verifyTranscript(read(transcriptPath), { home, source: read("script.yaml") });
  // However often it was interrupted, each key and certificate was made once.
  expect(lines.filter(({ what }) => what === "key")).toHaveLength(2);
  expect(lines.filter(({ what }) => what === "certificate")).toHaveLength(1);
}

test("goes on after kill -9 at each persisted transition", async () => {
  using at = rehearsedHome();
  let kills = 0;
  // Five steps of three transitions, and the seal: each run is killed one transition later in its step.
  for (let step = 1; step <= 5; step += 1) {
    for (const transition of [1, 2, 3]) {
      expect(await killed(at.request, { transition }), `step ${step}.${transition}`).toBeNull();
      kills += 1;
    }
  }
  expect(await killed(at.request, { transition: 1 })).toBeNull();
  expect(kills + 1).toBe(16);
  // The last kill came after the seal: nothing is left to do.
  requireWhole(at);
  await expect(performCeremony(at.request)).rejects.toThrow(/never repeated/);
});

test.for([
  ["C_GenerateKeyPair", 1],
  ["C_GenerateKeyPair", 2],
  ["C_Sign", 1],
  ["C_Sign", 2],
  ["C_Finalize", 1],
] as const)("goes on after kill -9 before call %s number %i", async ([name, number]) => {
  using at = rehearsedHome();
  expect(await killed(at.request, { call: { name, number } })).toBeNull();
  await performCeremony(at.request);
  requireWhole(at);
});

test("stops with a reason when it was killed between the token and its PIN", async () => {
  using at = rehearsedHome();
  expect(await killed(at.request, { call: { name: "C_InitPIN", number: 1 } })).toBeNull();
  await expect(performCeremony(at.request)).rejects.toThrow(/PIN/);
});

test("goes on after failing at any line of the transcript", async () => {
  using whole = ceremonyHome();
  await runCeremony(whole.request, "rehearse");
  await runCeremony(whole.request, "perform");
  const count = whole.read(transcriptPath).trimEnd().split("\n").length;
  expect(count).toBeGreaterThan(25);
  for (let fail = 1; fail <= count; fail += 1) {
    using at = ceremonyHome();
    cpSync(
      join(whole.home, "ceremony/small.rehearsal.jsonl"),
      join(at.home, "ceremony/small.rehearsal.jsonl"),
    );
    let asked = 0;
    const clock = (): Date => {
      asked += 1;
      if (asked === fail + 1) throw new Error("the power failed");
      return new Date();
    };
    await expect(runCeremony(at.request, "perform", { clock }), `line ${fail}`).rejects.toThrow(
      /power/,
    );
    // A power cut may leave a part of the next line.
    writeFileSync(join(at.home, transcriptPath), '{"sequence":', { flag: "a" });
    await runCeremony(at.request, "perform");
    requireWhole(at);
  }
});

test("refuses a ceremony that was not rehearsed, and a script that was changed since", async () => {
  using at = ceremonyHome();
  await expect(performCeremony(at.request)).rejects.toThrow(/was not rehearsed/);
  await rehearseCeremony(at.request);
  at.script(`${smallScript}# one more line\n`);
  await expect(performCeremony(at.request)).rejects.toThrow(/changed since it was rehearsed/);
  // A transcript of something that was performed is no rehearsal, and a forged one does not verify.
  const rehearsal = join(at.home, "ceremony/small.rehearsal.jsonl");
  at.script(smallScript);
  const forged = at.read("ceremony/small.rehearsal.jsonl").replace("publishKey", "publishkey");
  writeFileSync(rehearsal, forged);
  await expect(performCeremony(at.request)).rejects.toThrow(/does not follow/);
  expect(existsSync(join(at.home, "trust"))).toBe(false);
  expect(readdirSync(join(at.home, "tokens/offline"))).toEqual([]);
});

test("refuses another script or other parameters for a ceremony that was begun", async () => {
  using at = rehearsedHome();
  expect(await killed(at.request, { transition: 4 })).toBeNull();
  const other = { ...at.request, parameters: { organization: "Other" } };
  await expect(performCeremony(other)).rejects.toThrow(/other parameters/);
  await performCeremony(at.request);
  requireWhole(at);
});

test("refuses a swapped token: same label, another serial number or other keys", async () => {
  using at = rehearsedHome();
  using other = rehearsedHome();
  // After the first key.
  expect(await killed(at.request, { transition: 6 })).toBeNull();
  expect(await killed(other.request, { transition: 6 })).toBeNull();
  const tokens = join(at.home, "tokens/offline");
  renameSync(tokens, `${tokens}.right`);
  cpSync(join(other.home, "tokens/offline"), tokens, { recursive: true });
  await expect(performCeremony(at.request)).rejects.toThrow(/another one: its serial number is/);
  rmSync(tokens, { recursive: true });
  renameSync(`${tokens}.right`, tokens);
  // The right token, but the key's objects are gone.
  const [folder = ""] = readdirSync(tokens);
  const objects = readdirSync(join(tokens, folder)).filter(
    (name) => name !== "token.object" && name.endsWith(".object"),
  );
  for (const name of objects) renameSync(join(tokens, folder, name), join(at.home, name));
  await expect(performCeremony(at.request)).rejects.toThrow(/does not hold it/);
  for (const name of objects) renameSync(join(at.home, name), join(tokens, folder, name));
  await performCeremony(at.request);
  requireWhole(at);
});

test("refuses outputs and tokens that exist", async () => {
  using at = ceremonyHome();
  await rehearseCeremony(at.request);
  expect(existsSync(join(at.home, "trust"))).toBe(false);
  cpSync(join(at.home, "script.yaml"), join(at.home, "trust/root.pem"));
  await expect(performCeremony(at.request)).rejects.toThrow(/overwrites nothing/);
  rmSync(join(at.home, "trust"), { recursive: true });
  await performCeremony(at.request);
  const again = at.request;
  at.script(
    smallScript
      .replace("ceremony: small", "ceremony: second")
      .replaceAll("trust/", "more/")
      .replace("secrets/offline-pin", "secrets/second-pin"),
  );
  await rehearseCeremony(again);
  await expect(performCeremony(again)).rejects.toThrow(/there is a token "small-offline" already/);
});

test("stops when the clock goes back, and goes on when it is right", async () => {
  using at = ceremonyHome();
  await runCeremony(at.request, "rehearse");
  let asked = 0;
  const clock = (): Date => {
    asked += 1;
    return new Date(Date.now() - (asked > 12 ? 3_600_000 : 0));
  };
  await expect(runCeremony(at.request, "perform", { clock })).rejects.toThrow(
    /clock has gone back/,
  );
  await runCeremony(at.request, "perform");
  requireWhole(at);
});

test("refuses a transcript of which any byte was changed, any line removed or doubled", async () => {
  using at = ceremonyHome();
  await runCeremony(at.request, "rehearse");
  await runCeremony(at.request, "perform");
  const bytes = readFileSync(join(at.home, transcriptPath));
  expect(() => verifyTranscript(bytes.toString())).not.toThrow();
  for (let index = 0; index < bytes.length; index += 1) {
    const changed = Buffer.from(bytes);
    changed[index] = (changed[index] ?? 0) ^ 0x01;
    expect(() => verifyTranscript(changed.toString()), `byte ${index}`).toThrow(/transcript/);
  }
  const lines = bytes.toString().trimEnd().split("\n");
  for (let index = 0; index < lines.length; index += 1) {
    for (const changed of [
      lines.toSpliced(index, 1),
      lines.toSpliced(index, 0, lines[index] ?? ""),
    ]) {
      expect(() => verifyTranscript(`${changed.join("\n")}\n`), `line ${index}`).toThrow(
        /transcript/,
      );
    }
  }
});

test("refuses files that differ from the transcript, another script and another key", async () => {
  using at = ceremonyHome();
  using other = ceremonyHome();
  for (const { request } of [at, other]) {
    await runCeremony(request, "rehearse");
    await runCeremony(request, "perform");
  }
  const read = at.read(transcriptPath);
  expect(() => verifyTranscript(read, { source: `${smallScript} ` })).toThrow(/another script/);
  expect(() => verifyTranscript(read, { home: other.home })).toThrow(/another content/);
  const transcriptKey = (home: CeremonyHome) => {
    const key = verifyTranscript(home.read(transcriptPath)).lines.find(
      ({ what }) => what === "key",
    );
    return Uint8Array.fromBase64(String(key?.detail["publicKey"]));
  };
  verifyTranscript(read, { transcriptKey: transcriptKey(at) });
  expect(() => verifyTranscript(read, { transcriptKey: transcriptKey(other) })).toThrow(
    /another key/,
  );
});

test("a dry run tells every call with its template and touches nothing; no record holds a PIN", async () => {
  using at = ceremonyHome();
  const told: string[] = [];
  await dryRunCeremony(at.request, (line) => told.push(line));
  expect(existsSync(join(at.home, "ceremony"))).toBe(false);
  expect(readdirSync(join(at.home, "tokens/offline"))).toEqual([]);
  const pairs = told.filter((line) => line.includes("C_GenerateKeyPair("));
  expect(pairs).toHaveLength(2);
  for (const pair of pairs) {
    for (const said of [
      "CKA_SENSITIVE=true",
      "CKA_EXTRACTABLE=false",
      "CKA_SIGN=true",
      "CKA_DERIVE=false",
    ]) {
      expect(pair).toContain(said);
    }
  }
  expect(told.filter((line) => line.includes("C_Sign("))).toHaveLength(2);
  const performed: string[] = [];
  await runCeremony(at.request, "rehearse");
  await runCeremony(at.request, "perform", { call: (call) => performed.push(call) });
  const names = (calls: readonly string[]) => calls.map((call) => /C_\w+/.exec(call)?.[0]);
  expect(names(performed)).toEqual(names(told.filter((line) => line.startsWith("  "))));
  const pin = at.read("secrets/offline-pin").trim();
  const report = formatReport(verifyTranscript(at.read(transcriptPath)));
  for (const record of [
    at.read(transcriptPath),
    at.read("ceremony/small.state.json"),
    report,
    performed.join(),
  ]) {
    expect(record).not.toContain(pin);
  }
});

test("escapes in its report what a script says", async () => {
  using at = ceremonyHome();
  const request = { ...at.request, parameters: { organization: "<script>alert(1)</script>" } };
  await runCeremony(request, "rehearse");
  const report = formatReport(verifyTranscript(at.read("ceremony/small.rehearsal.jsonl")));
  expect(report).toContain("This was a rehearsal");
  expect(report).not.toContain("<script>");
});

test("refuses a PIN of fewer than 128 bits for a new token, and one for a token that has none", async () => {
  using at = ceremonyHome(smallScript.replace(", pinFile: secrets/offline-pin", ""));
  await rehearseCeremony(at.request);
  await expect(performCeremony(at.request)).rejects.toThrow(
    /PIN of the token "offline" was not given/,
  );
  using second = ceremonyHome(smallScript.replace(", pinFile: secrets/offline-pin", ""));
  await rehearseCeremony(second.request);
  const withPin = (offline: string) => ({ ...second.request, pins: { offline } });
  await expect(performCeremony(withPin("x".repeat(21)))).rejects.toThrow(/less than 22 characters/);
  await performCeremony(withPin("y".repeat(22)));
  requireWhole(second);
});
