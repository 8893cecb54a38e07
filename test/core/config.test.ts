import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseConfiguration } from "../../config/load.ts";
import { plugins } from "../../config/plugins.ts";
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
