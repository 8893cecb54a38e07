/** A vault in a process of its own: boots the home that it is told, says so, and puts one ask over and over until it is killed. */
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { sign } from "../../events/hsm.ts";
import { hsm } from "../../hsm/manifest.ts";
import { bootForTest } from "../support/boot.ts";

// Written by the test that starts this file.
const { home, pin, config } = JSON.parse(process.argv[2] ?? "") as {
  readonly home: string;
  readonly pin: string;
  readonly config: { readonly [name: string]: unknown };
};
const installation = await bootForTest({
  entries: [{ manifest: hsm.manifest, load: async () => await import("../../hsm/plugin.ts") }],
  config: { hsm: config },
  home,
  pin: async () => await Promise.resolve(pin),
});
process.stdout.write("ready\n");
process.once("message", () => {
  const certificate = encodeUtf8("x");
  const entries = [{ kind: "certificate" as const, timestampMs: 1n, certificate }];
  void installation.ask(sign, { key: "ct-log", signable: { purpose: "scts", entries } }, "log");
});
