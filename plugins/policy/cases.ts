/** Cases: requests that are made up or were made, and what a policy should say to them. */
import * as v from "valibot";
import { fulcioArcs } from "../../core/formats/fulcio-oids.ts";
import type { policySchema } from "./document.ts";
import { compilePolicy, type Request, type Verdict } from "./evaluate.ts";
import { accept, parseYaml } from "./read.ts";

const extensionNames = Object.keys(fulcioArcs) as (keyof typeof fulcioArcs)[]; // keys of a const object are its key type

const request = v.strictObject({
  provider: v.optional(v.string(), "email"),
  issuer: v.string(),
  /** Absent: the same as the subject. */
  san: v.optional(v.string()),
  sanKind: v.optional(v.picklist(["email", "uri", "otherName"])),
  subject: v.optional(v.string()),
  extensions: v.optional(v.record(v.picklist(extensionNames), v.string()), {}),
  claims: v.optional(v.record(v.string(), v.unknown()), {}),
  acr: v.optional(v.string()),
  amr: v.optional(v.array(v.string())),
  /** When the user signed in. */
  signedInAt: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  /** When the certificate is asked for. */
  at: v.optional(v.pipe(v.string(), v.isoTimestamp()), "2026-01-05T12:00:00Z"),
});

const testCase = v.strictObject({
  name: v.pipe(v.string(), v.minLength(1)),
  request,
  expect: v.picklist(["allow", "deny"]),
  /** The rule that must be the one that decides. */
  rule: v.optional(v.string()),
});

/** A case of a table. */
export type Case = v.InferOutput<typeof testCase>;

/** A case and how it went. */
export interface Outcome {
  readonly name: string;
  readonly verdict: Verdict;
  /** Null if it is as expected. */
  readonly wrong: string | null;
}

/** @throws {Malformed} */
export function parseCases(text: string): readonly Case[] {
  return accept(v.pipe(v.array(testCase), v.minLength(1)), parseYaml(text));
}

/** A request as a command line or a file says it, YAML or JSON. @throws {Malformed} */
export function parseCase(text: string): Request {
  return requestOf(accept(request, parseYaml(text)));
}

/** Runs a table. */
export function runCases(
  policy: v.InferOutput<typeof policySchema>,
  cases: readonly Case[],
): readonly Outcome[] {
  const decide = compilePolicy(policy);
  return cases.map(({ name, request: asked, expect, rule }) => {
    const verdict = decide(requestOf(asked));
    const effect = verdict.allowed === true ? "allow" : "deny";
    if (effect !== expect) {
      const wrong = `expected ${expect}, but ${verdict.rule} says ${effect}: ${verdict.reason}`;
      return { name, verdict, wrong };
    }
    if (rule !== undefined && rule !== verdict.rule) {
      return { name, verdict, wrong: `expected ${rule} to decide, but ${verdict.rule} did` };
    }
    return { name, verdict, wrong: null };
  });
}

function requestOf(asked: v.InferOutput<typeof request>): Request {
  const subject = asked.subject ?? asked.san ?? "";
  const value = asked.san ?? subject;
  const kind = asked.sanKind ?? (value.includes("@") ? "email" : "uri");
  return {
    provider: asked.provider,
    principal: {
      oidcIssuer: asked.issuer,
      subject,
      challenge: value,
      san: { kind, value },
      extensions: Object.entries(asked.extensions).map(([name, text]) => ({
        arc: (fulcioArcs as { readonly [name: string]: number })[name] ?? 0, // a name is one of them by its schema
        value: text ?? "",
      })),
    },
    claims: asked.claims,
    assurance: {
      ...(asked.acr !== undefined && { acr: asked.acr }),
      ...(asked.amr !== undefined && { amr: asked.amr }),
      ...(asked.signedInAt !== undefined && { authTimeS: Date.parse(asked.signedInAt) / 1_000 }),
    },
    atMs: BigInt(Date.parse(asked.at)),
  };
}
