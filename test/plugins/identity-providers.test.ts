/** Every provider of this tree against its vectors, and against everything the kit tries on any provider. */
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { expect, it } from "vitest";
import { tryProvider } from "../../plugins/identity/kit/run-vectors.ts";
import { parseVectors } from "../../plugins/identity/kit/vectors.ts";
import { known } from "../../plugins/identity/issuers.ts";
import { shippedProviders } from "../../plugins/identity/shipped.ts";

const folder = "test/vectors/providers";

it.each(shippedProviders)(
  "$type gives what its vectors say, and stands what is tried",
  async (provider) => {
    const file = `${folder}/${provider.type}.json`;
    const findings = await tryProvider(known(provider), parseVectors(file, readFileSync(file)));
    expect(findings.filter(({ fault }) => fault !== null)).toEqual([]);
    expect(findings.length).toBeGreaterThan(60);
  },
);

it("every provider has vectors and every file of the folder is listed", () => {
  const vectors = globSync(`${folder}/*.json`).map((file) => basename(file, ".json"));
  const files = globSync("plugins/identity/providers/*.ts").map((file) => basename(file, ".ts"));
  const types = shippedProviders.map(({ type }) => type).toSorted();
  expect(vectors.toSorted()).toEqual(types);
  expect(files.toSorted()).toEqual(types);
});
