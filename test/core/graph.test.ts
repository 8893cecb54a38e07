import * as v from "valibot";
import { expect, test } from "vitest";
import { pairs, permissions } from "../../core/acl.ts";
import { startOrder } from "../../core/graph.ts";
import { definePlugin, type Manifest } from "../../core/plugin.ts";
import { type Ask, ask, fact } from "../../events/contract.ts";

const anything = v.any();
const terms = { question: anything, answer: anything, failures: [], deadlineMs: 1 };
const sign = ask("hsm", "sign", terms);
const issue = ask("issuer", "issue", terms);
const issued = fact("issuer", "issued", anything);

const plugin = (
  name: string,
  offers: Ask[],
  needs: Ask[],
  more: Partial<Manifest> = {},
): Manifest => ({
  ...definePlugin({
    name,
    summary: "",
    config: anything,
    offers,
    needs,
    emits: [],
    follows: [],
    reaches: [],
  }).manifest,
  ...more,
});
const hsm = plugin("hsm", [sign], []);
const issuer = plugin("issuer", [issue], [sign], { emits: [issued], keeps: { tables: [] } });

test("a plugin starts after the plugins it needs", () => {
  expect(startOrder([issuer, hsm]).map(({ name }) => name)).toEqual(["hsm", "issuer"]);
});

test.for([
  [
    "an ask nobody offers",
    [plugin("issuer", [], [sign])],
    '"issuer" needs sign, which nobody offers: install the plugin "hsm"',
  ],
  [
    "an ask offered twice",
    [hsm, plugin("b", [sign], [])],
    '"hsm" and "b" both offer sign: install only one',
  ],
  [
    "an ask of another room",
    [plugin("b", [sign], [])],
    '"b" offers sign, which is declared for "hsm"',
  ],
  [
    "a cycle",
    [plugin("hsm", [sign], [issue]), plugin("issuer", [issue], [sign])],
    "needs form a cycle: hsm → issuer → hsm",
  ],
  ["a name listed twice", [plugin("a", [], []), plugin("a", [], [])], '"a" is listed twice'],
  ["a name that is no word", [plugin("a-b", [], [])], '"a-b" is no plugin name'],
  [
    "a fact nobody emits",
    [plugin("a", [], [], { follows: [issued], keeps: { tables: [] } })],
    '"a" follows issued, which nobody emits: install the plugin "issuer"',
  ],
  [
    "emitting without state",
    [plugin("issuer", [], [], { emits: [issued] })],
    '"issuer" emits facts but keeps no state: add "keeps"',
  ],
  [
    "following without state",
    [hsm, issuer, plugin("a", [], [], { follows: [issued] })],
    '"a" follows facts but keeps no state',
  ],
  [
    "emitting another room's fact",
    [plugin("a", [], [], { emits: [issued], keeps: { tables: [] } })],
    '"a" emits issued, which is declared for "issuer"',
  ],
  [
    "reading an unknown room",
    [plugin("a", [], [], { reads: ["nowhere"] })],
    '"a" reads "nowhere", which is no plugin that keeps state',
  ],
  [
    "reading a stateless room",
    [hsm, plugin("a", [], [], { reads: ["hsm"] })],
    '"a" reads "hsm", which is no plugin that keeps state',
  ],
  [
    "vouching to nobody",
    [plugin("a", [], [], { vouchesTo: ["hsm"] })],
    '"a" vouches to "hsm", which is not installed',
  ],
  [
    "partitions without names",
    [plugin("a", [], [], { keeps: { tables: [], partitioned: true } })],
    '"a" must state both',
  ],
  [
    "an ask of the kernel's",
    [plugin("a", [ask("a", "factsAfter", terms)], [])],
    '"a" offers factsAfter, which the kernel answers',
  ],
] as const)("refuses %s", ([, set, says]) => {
  expect(() => startOrder(set)).toThrow(says);
});

const reader = plugin("reader", [], [], { follows: [issued], keeps: { tables: [] } });
const door = plugin("door", [], [issue], { oversees: true });

test("permissions are what the manifests say and nothing else", () => {
  expect(Object.fromEntries(permissions([hsm, issuer, reader, door]))).toEqual({
    hsm: {
      publish: ["chancery.v1.started.hsm", "_INBOX.issuer.>", "_INBOX.door.>"],
      subscribe: [
        "chancery.v1.ask.hsm.sign.*",
        "chancery.v1.ask.hsm.reportHealth.*",
        "_INBOX.hsm.>",
      ],
    },
    issuer: {
      publish: [
        "chancery.v1.ask.hsm.sign.issuer",
        "chancery.v1.wake.issuer",
        "chancery.v1.started.issuer",
        "_INBOX.reader.>",
        "_INBOX.door.>",
      ],
      subscribe: [
        "chancery.v1.ask.issuer.issue.*",
        "chancery.v1.ask.issuer.factsAfter.*",
        "chancery.v1.ask.issuer.reportHealth.*",
        "chancery.v1.started.hsm",
        "_INBOX.issuer.>",
      ],
    },
    reader: {
      publish: [
        "chancery.v1.ask.issuer.factsAfter.reader",
        "chancery.v1.started.reader",
        "_INBOX.door.>",
      ],
      subscribe: [
        "chancery.v1.ask.reader.reportHealth.*",
        "chancery.v1.wake.issuer",
        "chancery.v1.started.issuer",
        "_INBOX.reader.>",
      ],
    },
    door: {
      publish: [
        "chancery.v1.ask.issuer.issue.door",
        "chancery.v1.ask.hsm.reportHealth.door",
        "chancery.v1.ask.issuer.reportHealth.door",
        "chancery.v1.ask.reader.reportHealth.door",
        "chancery.v1.ask.door.reportHealth.door",
        "chancery.v1.started.door",
      ],
      subscribe: [
        "chancery.v1.ask.door.reportHealth.*",
        "chancery.v1.started.issuer",
        "chancery.v1.started.hsm",
        "chancery.v1.started.reader",
        "chancery.v1.started.door",
        "_INBOX.door.>",
      ],
    },
  });
});

test("everybody who talks or vouches shares a key, and nobody else", () => {
  expect(
    pairs([hsm, issuer, reader, door, plugin("identity", [], [], { vouchesTo: ["hsm"] })]),
  ).toEqual([
    ["issuer", "hsm"],
    ["reader", "issuer"],
    ["door", "issuer"],
    ["door", "hsm"],
    ["door", "reader"],
    ["door", "identity"],
    ["identity", "hsm"],
  ]);
});
