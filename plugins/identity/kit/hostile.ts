/** What is tried against every provider: tokens that must be refused, and claims that must make no difference. */
import { createHmac, createPublicKey } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { encodeBase64Url, encodeUtf8 } from "../../../core/formats/encoding.ts";
import type { ClaimRule, Provider } from "../provider.ts";
import { createMockIssuer, type MockIssuer } from "./mock-issuer.ts";
import { type Trial, trialTime } from "./trial.ts";

type Claims = { readonly [name: string]: unknown };

interface Scene {
  readonly trial: Trial;
  readonly mock: MockIssuer;
  /** A good token's claims. */
  readonly claims: Claims;
}

/** One thing to try. */
interface HostileTrial {
  readonly name: string;
  /** Null if the provider stands it. */
  readonly run: (scene: Scene) => Promise<string | null>;
}

/** All there is to try, by what the provider declares. */
export function hostileTrials(provider: Provider): readonly HostileTrial[] {
  return [...generalRefusals, ...claimRefusals(provider), ...indifferent(provider)];
}

const without = (claims: Claims, name: string): Claims =>
  Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));

/** Tokens of changed claims, each of which must be refused. */
function refusing(name: string, change: (claims: Claims) => Claims | string): HostileTrial {
  return {
    name,
    run: async ({ trial, claims }) => refusal(await trial.present(change(claims))),
  };
}

function refusal(outcome: Awaited<ReturnType<Trial["present"]>>): string | null {
  return "refused" in outcome ? null : "was accepted";
}

const otherIssuers: readonly [string, (iss: string) => unknown][] = [
  ["with a slash", (iss) => (iss.endsWith("/") ? iss.slice(0, -1) : `${iss}/`)],
  ["with a query", (iss) => `${iss}?x=1`],
  ["with a fragment", (iss) => `${iss}#x`],
  ["as a query of another", (iss) => `https://evil.example/?issuer=${iss}`],
  ["with user information", (iss) => iss.replace("://", "://u@")],
  [
    "with another scheme",
    (iss) => iss.replace(/^http(s?):/, (_all, s) => (s === "" ? "https:" : "http:")),
  ],
  ["in capitals", (iss) => iss.replace(/:\/\/[^/]*/, (host) => host.toUpperCase())],
  ["with a trailing dot", (iss) => iss.replace(/:\/\/[^/:]*/, (host) => `${host}.`)],
  ["with a longer host", (iss) => iss.replace(/:\/\/[^/:]*/, (host) => `${host}.evil.example`)],
  ["with a dot segment", (iss) => `${iss.replace(/\/$/, "")}/../x`],
  ["in a list", (iss) => [iss]],
  ["missing", () => undefined],
];

const times: readonly [string, Claims][] = [
  ["expired", { iat: trialTime - 900, exp: trialTime - 31 }],
  ["not valid yet", { nbf: trialTime + 31 }],
  ["issued in the future", { iat: trialTime + 31, exp: trialTime + 90 }],
  ["living too long", { exp: trialTime + 86_400 }],
  ["without an end", { exp: undefined }],
  ["with an end that is text", { exp: String(trialTime + 300) }],
  ["without a time of issue", { iat: undefined }],
  ["ending before its issue", { iat: trialTime, exp: trialTime }],
];

const audiences: readonly [string, unknown][] = [
  ["another", "somebody-else"],
  ["none", undefined],
  ["an empty list", []],
  ["a list of others", ["a", "b"]],
  ["in other letters", "SIGSTORE-"],
  ["nested", [["sigstore"]]],
];

const generalRefusals: readonly HostileTrial[] = [
  ...otherIssuers.map(([name, change]) =>
    refusing(`issuer ${name}`, (claims) => ({ ...claims, iss: change(String(claims["iss"])) })),
  ),
  ...times.map(([name, change]) => refusing(name, (claims) => ({ ...claims, ...change }))),
  ...audiences.map(([name, aud]) =>
    refusing(`audience: ${name}`, (claims) => ({ ...claims, aud })),
  ),
  refusing("no subject", (claims) => without(claims, "sub")),
  refusing("an empty subject", (claims) => ({ ...claims, sub: "" })),
  refusing("a subject that is a number", (claims) => ({ ...claims, sub: 5 })),
  refusing("a member twice", (claims) => `{"sub":"x",${JSON.stringify(claims).slice(1)}`),
  ...["none", "None", "HS256", "HS512"].map((alg): HostileTrial => ({
    name: `algorithm ${alg}`,
    async run({ trial, mock, claims }) {
      const part = (value: object) => encodeBase64Url(encodeUtf8(JSON.stringify(value)));
      const input = `${part({ alg, kid: "trial" })}.${part(claims)}`;
      // The public key is no secret: whoever took it for one would believe this.
      const secret = createPublicKey({ key: { ...mock.jwk }, format: "jwk" });
      const pem = secret.export({ type: "spki", format: "pem" });
      const mac = createHmac(alg === "HS512" ? "sha512" : "sha256", pem)
        .update(input)
        .digest();
      const signed = alg.startsWith("HS") ? encodeBase64Url(mac) : "";
      return refusal(await trial.presentToken(`${input}.${signed}`));
    },
  })),
  {
    name: "signed by somebody else",
    async run({ trial, claims }) {
      const other = await createMockIssuer();
      return refusal(await trial.presentToken(await other.sign(claims)));
    },
  },
  {
    name: "signed by a key it brings along",
    async run({ trial, claims }) {
      const other = await createMockIssuer();
      return refusal(await trial.presentToken(await other.sign(claims, { jwk: other.jwk })));
    },
  },
];

const badTexts: readonly [string, string][] = [
  ["a NUL", "a\\u0000"],
  ["a line break", "a\\nb"],
  ["an escape sequence", "a\\u001b[31m"],
  ["text that runs backwards", "\\u202eevil"],
  ["a joiner", "a\\u200db"],
  ["half a character", "\\ud800"],
  ["a composed twin", "e\\u0301"],
  ["a space at the end", "a "],
  ["too much", "a".repeat(2_049)],
];
const badValues: readonly [string, string][] = [
  ["a list", "[1]"],
  ["an object", '{"a":1}'],
  ["a number beyond exactness", "9007199254740993"],
  ["a number in exponents", "1e21"],
  ["a fraction", "1.5"],
  ["a fraction that rounds to a whole", "1.00000000000000000001"],
  ["minus zero", "-0"],
];

/** For each claim a provider declares: absent if it may not be, of a wrong kind, with something hidden in it. */
function claimRefusals({ claims }: Provider): HostileTrial[] {
  const subject: ClaimRule = { type: "text", required: true };
  const rules = Object.entries({ sub: subject, ...claims });
  return rules.flatMap(([name, rule]) => {
    const place = rule.at ?? [name];
    const set = (value: string) => (all: Claims) => withText(all, place, value);
    const trials = [
      ...badTexts.map(([what, text]) => refusing(`${name} with ${what}`, set(`"${text}"`))),
      ...badValues.map(([what, value]) => refusing(`${name} as ${what}`, set(value))),
    ];
    if (rule.required === true && name !== "sub") {
      trials.push(refusing(`no ${name}`, set("null")));
      trials.push(refusing(`${name} empty`, set('""')));
    }
    if (rule.startsWith !== undefined || rule.within !== undefined || rule.equals !== undefined) {
      trials.push(refusing(`${name} of somebody else`, set('"https://evil.example/x"')));
    }
    return trials;
  });
}

/** The claims as JSON, with raw text as the value at a place: what JavaScript could not say. */
function withText(claims: Claims, place: readonly string[], value: string): string {
  const mark = "trial-mark";
  const put = (at: unknown, [name, ...rest]: readonly string[]): unknown => {
    if (name === undefined) return mark;
    const members = typeof at === "object" && at !== null ? { ...at } : {};
    return { ...members, [name]: put((members as Claims)[name], rest) };
  };
  return JSON.stringify(put(claims, place)).replace(`"${mark}"`, () => value);
}

const fixedNames = [
  "base",
  "url",
  "iss.host",
  "const",
  "config",
  "claims",
  "choice",
  "host",
  "origin",
  "subjectDomain",
  "trustDomain",
  "cluster",
  "constructor",
  "toString",
  "__proto__",
];

/** Claims that are named like something the provider or the operator has fixed, and must not take its place. */
function indifferent(provider: Provider): HostileTrial[] {
  const own = new Set(Object.values(provider.claims).map(({ at }) => at?.[0]));
  const names = [
    ...Object.keys(provider.constants ?? {}),
    ...Object.keys(provider.choices ?? {}),
    ...fixedNames,
  ].filter((name) => !Object.hasOwn(provider.claims, name) && !own.has(name));
  return [
    {
      name: "claims named like constants change nothing",
      async run({ trial, claims }) {
        const plain = await trial.present(claims);
        const members = names.map((name) => `${JSON.stringify(name)}:"https://evil.example"`);
        const crowded = `{${members.join(",")},${JSON.stringify(claims).slice(1)}`;
        const shadowed = await trial.present(crowded);
        if ("refused" in plain || "refused" in shadowed) return "was refused";
        const same = isDeepStrictEqual(plain.verified.principal, shadowed.verified.principal);
        return same ? null : "another principal";
      },
    },
    {
      name: "the same token means the same",
      async run({ trial, claims }) {
        const [one, two] = [await trial.present(claims), await trial.present(claims)];
        if ("refused" in one || "refused" in two) return "was refused";
        return isDeepStrictEqual(one.verified.principal, two.verified.principal)
          ? null
          : "another principal";
      },
    },
    ...mailTrials(provider),
  ];
}

function mailTrials({ mail, claims }: Provider): HostileTrial[] {
  const email = claims["email"];
  if (mail === undefined || email === undefined) return [];
  return [false, "false", "True", 1, [true]].map((value) =>
    refusing(`${mail.verifiedBy} ${JSON.stringify(value)}`, (all) => ({
      ...all,
      email: all["email"] ?? "a@b.example",
      [mail.verifiedBy]: value,
    })),
  );
}
