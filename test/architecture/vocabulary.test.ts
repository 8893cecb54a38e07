/** The vocabulary of the bus and the list of plugins agree with each other. */
import { globSync } from "node:fs";
import { basename } from "node:path";
import { expect, test } from "vitest";
import { operator, parties } from "../../config/operator.ts";
import { plugins } from "../../config/plugins.ts";
import { pairs, permissions } from "../../core/acl.ts";
import { askKey } from "../../core/bus.ts";
import { factKey, startOrder } from "../../core/graph.ts";
import type { Ask, Fact } from "../../events/contract.ts";
import { failureCodes } from "../../events/failure.ts";

interface Declaration {
  readonly file: string;
  readonly exportName: string;
  readonly event: Ask | Fact;
}

const isEvent = (value: unknown): value is Ask | Fact =>
  typeof value === "object" &&
  value !== null &&
  "kind" in value &&
  (value.kind === "ask" || value.kind === "fact") &&
  "room" in value;

const declarations: Declaration[] = [];
for (const file of globSync("events/*.ts")) {
  // A module's namespace is an object of its exports.
  const module = (await import(`../../${file}`)) as { readonly [name: string]: unknown };
  for (const [exportName, event] of Object.entries(module)) {
    if (isEvent(event)) declarations.push({ file, exportName, event });
  }
}
const manifests = plugins.map(({ manifest }) => manifest);

test("an event's export is its name and its file is its room", () => {
  for (const { file, exportName, event } of declarations) {
    expect(event.name).toBe(exportName);
    expect(event.room).toBe(basename(file, ".ts"));
  }
  expect(declarations.length).toBeGreaterThan(25);
});

test("asks are imperatives with a deadline and known failures", () => {
  for (const { event } of declarations) {
    if (event.kind !== "ask") continue;
    expect(event.deadlineMs, event.name).toBeGreaterThanOrEqual(1_000);
    expect(event.deadlineMs, event.name).toBeLessThanOrEqual(60_000);
    expect(event.failures.filter((code) => !failureCodes.includes(code))).toEqual([]);
  }
});

test("every ask is offered once and every fact is emitted by its room", () => {
  const offered = manifests.flatMap(({ offers }) => offers.map(askKey));
  const emitted = manifests.flatMap(({ emits }) => emits.map(factKey));
  const asks = declarations.flatMap(({ event }) => (event.kind === "ask" ? askKey(event) : []));
  const facts = declarations.flatMap(({ event }) => (event.kind === "fact" ? factKey(event) : []));
  expect(offered.toSorted()).toEqual(asks.toSorted());
  expect(emitted.toSorted()).toEqual(facts.toSorted());
});

test("the installed plugins fit together", () => {
  expect(startOrder(manifests)).toHaveLength(12);
});

test("each plugin's name is its folder and its code implements its manifest", async () => {
  for (const entry of plugins) {
    const plugin = (await entry.load()).default;
    expect(plugin.manifest, entry.manifest.name).toBe(entry.manifest);
  }
});

test("only the identity room vouches, and only to the vault", () => {
  const vouching = manifests.filter(({ vouchesTo = [] }) => vouchesTo.length > 0);
  expect(vouching.map(({ name, vouchesTo }) => [name, vouchesTo])).toEqual([["identity", ["hsm"]]]);
});

test("nobody but those who need signatures may ask the vault for one", () => {
  const rights = permissions(manifests);
  const signers = [...rights].flatMap(([name, { publish }]) =>
    publish.some((subject) => subject.startsWith("chancery.v1.ask.hsm.sign.")) ? [name] : [],
  );
  expect(signers.toSorted()).toEqual(["idp", "issuer", "log", "timestamp", "trust"]);
  for (const { publish, subscribe } of rights.values()) {
    const broad = [...publish, ...subscribe].filter((subject) =>
      /^(>|\*|\$|_INBOX\.[>*])/.test(subject),
    );
    expect(broad).toEqual([]);
  }
  expect(pairs(manifests)).toContainEqual(["identity", "hsm"]);
});

test("what changes keys, trust and logs is for the operator alone, who is no plugin", () => {
  const rights = permissions(parties);
  for (const [room, name] of [
    ["hsm", "generateKey"],
    ["hsm", "bindChain"],
    ["issuer", "activateIssuer"],
    ["trust", "publishTargets"],
    ["log", "freezeLog"],
  ]) {
    const askers = [...rights].flatMap(([party, { publish }]) =>
      publish.some((subject) => subject.startsWith(`chancery.v1.ask.${room}.${name}.`))
        ? [party]
        : [],
    );
    expect(askers, name).toEqual(["operator"]);
  }
  const { publish = [] } = rights.get("operator") ?? {};
  expect(publish.filter((subject) => subject.startsWith("chancery.v1.ask.hsm.sign."))).toEqual([]);
  expect(manifests).not.toContain(operator);
});
