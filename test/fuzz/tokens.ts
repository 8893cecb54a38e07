/** Mutated tokens against the way every token is verified: bytes flipped in what was signed, and odd claims signed all the same. */
import { fc } from "@fast-check/vitest";
import { Malformed } from "../../core/formats/malformed.ts";
import { createIssuers, known } from "../../plugins/identity/issuers.ts";
import { createMockIssuer } from "../../plugins/identity/kit/mock-issuer.ts";
import { parseIssuer, trialTime } from "../../plugins/identity/kit/trial.ts";
import { shippedProviders } from "../../plugins/identity/shipped.ts";
import { createVerifier } from "../../plugins/identity/verifier.ts";

/** What a campaign found: how many were refused, and how many of the well-signed meant somebody. */
export interface TokenTally {
  readonly refused: number;
  readonly believed: number;
}

const gitlab = {
  sub: "project_path:g/p:ref_type:branch:ref:main",
  ci_config_ref_uri: "git.corp.example/g/p//.gitlab-ci.yml@refs/heads/main",
  ci_config_sha: "aa",
  runner_environment: "self-hosted",
  project_path: "g/p",
  sha: "bb",
  ref: "main",
  ref_type: "branch",
  project_id: "20",
  namespace_path: "g",
  namespace_id: "72",
  pipeline_source: "push",
  job_id: "302",
};
const good = {
  ...gitlab,
  iss: "https://git.corp.example",
  aud: "sigstore",
  iat: trialTime - 10,
  exp: trialTime + 300,
};
const strangers = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    "",
    " ",
    "\u202e",
    "A".repeat(3_000),
    [],
    {},
  ),
  fc.constantFrom<unknown>(
    "__proto__",
    "../x",
    "{claims.sub}",
    "${x}",
    "git.corp.example/",
    "https://evil.example",
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.jsonValue({ maxDepth: 3 }),
);

/** @throws with seed and path if a token crashes verification, or one that nobody signed is believed. */
export async function fuzzTokens(seed: number, cases: number): Promise<TokenTally> {
  const mock = await createMockIssuer();
  const issuer = parseIssuer({ issuerUrl: good.iss, provider: "gitlab-pipeline" });
  const verify = createVerifier({
    issuers: createIssuers([issuer], shippedProviders.map(known)),
    keysOf: () => mock.keys,
    clock: { now: () => new Date(trialTime * 1_000) },
    skewSeconds: 30,
    useOnce: null,
  });
  const token = await mock.sign(good);
  const tally = { refused: 0, believed: 0 };
  const present = async (text: string): Promise<boolean> => {
    try {
      const { principal } = await verify(text);
      // Whoever is believed has a name below the issuer, whatever else the claims say.
      if (!principal.san.value.startsWith("https://git.corp.example/"))
        throw new Error("a name of others");
      tally.believed++;
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Malformed)) throw thrown;
      tally.refused++;
      return false;
    }
  };
  const bytes = fc.asyncProperty(mutants(token), async (text) => {
    if ((await present(text)) && text !== token)
      throw new Error("a token nobody signed is believed");
  });
  const claims = fc.asyncProperty(
    fc.constantFrom(...Object.keys(good)),
    strangers,
    async (name, value) => {
      await present(await mock.sign({ ...good, [name]: value }));
    },
  );
  await fc.assert(bytes, { seed, numRuns: Math.ceil(cases * 0.7) });
  await fc.assert(claims, { seed, numRuns: Math.ceil(cases * 0.3) });
  return tally;
}

/** The token's text, its parts' bytes and their JSON, changed. */
function mutants(token: string): fc.Arbitrary<string> {
  const place = fc.nat(token.length - 1);
  const parts = token.split(".");
  const flip = fc
    .tuple(fc.nat(2), fc.nat(4_000), fc.integer({ min: 1, max: 255 }))
    .map(([at, position, mask]) => {
      const part = Buffer.from(parts[at] ?? "", "base64url");
      const where = position % part.length;
      part[where] = (part[where] ?? 0) ^ mask;
      return parts.with(at, part.toString("base64url")).join(".");
    });
  const character = fc
    .tuple(place, fc.string({ unit: "binary", minLength: 1, maxLength: 3 }))
    .map(([at, text]) => token.slice(0, at) + text + token.slice(at + 1));
  const cut = place.map((at) => token.slice(0, at));
  const swap = fc.tuple(fc.nat(2), fc.nat(2)).map(([a, b]) => {
    const [one = "", other = ""] = [parts[a], parts[b]];
    return parts.with(a, other).with(b, one).join(".");
  });
  const dots = fc.nat(20_000).map((count) => ".".repeat(count));
  const header = fc
    .tuple(
      fc.constantFrom("alg", "kid", "typ", "jwk", "crit", "b64"),
      fc.jsonValue({ maxDepth: 2 }),
    )
    .map(([name, value]) => {
      const changed = { alg: "ES256", kid: "trial", [name]: value };
      return parts.with(0, Buffer.from(JSON.stringify(changed)).toString("base64url")).join(".");
    });
  return fc.oneof({ weight: 4, arbitrary: flip }, character, cut, swap, dots, header);
}
