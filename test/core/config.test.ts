import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseConfiguration } from "../../config/load.ts";
import { plugins } from "../../config/plugins.ts";
import { processesOf } from "../../config/processes.ts";
import { configure } from "../../core/kernel.ts";
import { startOrder } from "../../core/graph.ts";
import { partitionsOf } from "../../core/stores.ts";

const manifests = startOrder(plugins.map(({ manifest }) => manifest));

test("the developers' configuration is one that every plugin accepts", async () => {
  const { sections } = parseConfiguration("dev.yaml", readFileSync("config/dev.yaml", "utf8"));
  const configured = await configure(manifests, sections);
  const names = partitionsOf(manifests, configured).map(({ name }) => name);
  expect(names).toContain("log-ct");
  expect(names).toContain("log-rekor");
  expect(new Set(names).size).toBe(names.length);
});

test("the production example is accepted once its blanks are filled in", async () => {
  const filled = readFileSync("config/production.example.yaml", "utf8")
    .replaceAll("<tree id>", "5577006791947779410")
    .replaceAll(/<([a-z.]+)>/g, "$1")
    .replaceAll(/<token label>/g, "chancery");
  const { sections, placement } = parseConfiguration("production.example.yaml", filled);
  await expect(configure(manifests, sections)).resolves.toBeInstanceOf(Map);
  expect(placement.get("http")).toBe("front");
});

describe("processes", () => {
  const placed = (text: string) => parseConfiguration("config.yaml", text).placement;

  test("are the vault and the services unless something else is asked for", () => {
    const processes = processesOf(placed(""));
    expect(processes.map(({ name, vault }) => [name, vault])).toEqual([
      ["vault", true],
      ["services", false],
    ]);
  });

  test("come in an order in which each needs only those before it, when no two plugins share one", () => {
    const text = manifests
      .filter(({ name }) => name !== "hsm")
      .map(({ name }) => `  ${name}: ${name}`);
    const processes = processesOf(placed(`placement:\n${text.join("\n")}\n`));
    expect(processes.map(({ plugins: [only = ""] }) => only)).toEqual(
      manifests.map(({ name }) => name),
    );
    expect(processes.filter(({ vault }) => vault).map(({ name }) => name)).toEqual(["vault"]);
  });

  test("may call the vault otherwise, and it still is the vault", () => {
    const processes = processesOf(placed("placement: { hsm: signer }"));
    expect(processes[0]).toEqual({ name: "signer", plugins: ["hsm"], vault: true });
  });

  test.for([
    ["placement: { http: vault }", "shares its process with nobody"],
    ["placement: { http: nats }", "name of the supervisor's own"],
    ["placement: { http: supervisor }", "name of the supervisor's own"],
    ["placement: { door: front }", 'no plugin "door"'],
  ] as const)("refuses %s", ([text, says]) => {
    expect(() => placed(text)).toThrow(says);
  });
});
