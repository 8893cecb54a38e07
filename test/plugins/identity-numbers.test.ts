/** Numbers and odd texts of claims: exactly in the certificate, or not at all. */
import { beforeAll, expect, it } from "vitest";
import { bootIdentity, claims, issuer as issuerOf } from "../support/identity.ts";
import { issuerKey, type IssuerKey, signToken } from "../support/issuer.ts";

let key: IssuerKey;
beforeAll(async () => {
  key = await issuerKey();
});

const issuer = () => issuerOf({ keys: [key.jwk] });

const map = async (text: string, provider = "github-workflow") => {
  await using booted = await bootIdentity(issuer(), { provider });
  const names =
    "job_workflow_ref sha event_name repository workflow ref job_workflow_sha runner_environment repository_id repository_owner repository_owner_id workflow_ref workflow_sha run_attempt";
  const base = Object.fromEntries(names.split(" ").map((name) => [name, "x"]));
  const raw = JSON.stringify(claims({ ...base, run_id: "@", workflow: "@w" }));
  const [number = "", workflow = '"w"'] = text.split("|");
  const { principal } = await booted.present(
    await signToken(
      key,
      raw.replace('"@"', number).replace('"@w"', () => workflow),
    ),
  );
  return principal.extensions;
};

it.each([
  ["1000000", "1000000"],
  ["1753000000", "1753000000"],
  ["1.753e+09", "1753000000"],
  ["9007199254740991", "9007199254740991"],
  ["5.0", "5"],
  ['"9007199254740993"', "9007199254740993"],
  ['"1e21"', "1e21"],
])("TC-F6 the number %s reaches the certificate as %s", async (number, text) => {
  expect(await map(number)).toContainEqual({
    arc: 21,
    value: `https://idp.example/x/actions/runs/${text}/attempts/x`,
  });
});

it.each([
  "9007199254740992",
  "9007199254740993",
  "1e21",
  "1.5",
  "-0",
  "0.1",
  "9007199254740990.9",
  "1.0000000000000000001",
  "123456789012345678e-1",
  "1e400",
])("TC-F6 the number %s is refused, because it could not be told from another", async (number) => {
  await expect(map(number)).rejects.toMatchObject({ code: "identity-rejected" });
});

it("TC-F7 what templates and pages would escape stays as it is", async () => {
  const odd = `&amp; <b>"'\`$& {{.x}} \${y} %41 \\\\ é 日本`;
  expect(await map(`1|${JSON.stringify(odd)}`)).toContainEqual({ arc: 4, value: odd });
});

it.each([
  "\u0000",
  "a\u0000b",
  "a\nb",
  "\u001b[31m",
  "\u202e",
  "a\u200b",
  "\ufeffa",
  "\u3164",
  "\ue000",
  "e\u0301",
  " a",
  "a ",
])("a claim with %j in it is refused", async (text) => {
  await expect(map(`1|${JSON.stringify(text)}`)).rejects.toMatchObject({
    code: "identity-rejected",
  });
});
