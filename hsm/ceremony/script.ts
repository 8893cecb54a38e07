/** Ceremony scripts: YAML, a list of typed steps. What a script does not say, a ceremony does not do; what it says wrongly, it does not start. */
import { hash } from "node:crypto";
import * as v from "valibot";
import { parse } from "yaml";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { VaultRefused } from "../errors.ts";
import { scriptSchema } from "./schema.ts";

/** A script with its parameters filled in. */
export type Script = v.InferOutput<typeof scriptSchema> & {
  /** SHA-256 of the file, lower-case hex. */
  readonly sha256: string;
};

/** One step. */
export type Step = Script["steps"][number];
/** A step of one kind. */
export type StepOf<Kind extends Step["step"]> = Extract<Step, { step: Kind }>;
/** What a script calls one of its tokens: the token's configuration is `softhsm2-NAME.conf`. */
export type TokenName = string;

/** @throws {VaultRefused} if the script, or a parameter, is not what it must be */
export function parseScript(
  source: string,
  parameters: { readonly [name: string]: string },
): Script {
  const declared = v.safeParse(
    v.looseObject({ parameters: scriptSchema.entries.parameters }),
    yaml(source),
  );
  if (!declared.success) throw new VaultRefused("the ceremony script declares no parameters");
  const wanted = declared.output.parameters;
  const given = Object.keys(parameters);
  const missing = wanted.find((name) => !given.includes(name));
  const unknown = given.find((name) => !wanted.includes(name));
  if (missing !== undefined)
    throw new VaultRefused(`the ceremony needs the parameter "${missing}"`);
  if (unknown !== undefined) throw new VaultRefused(`the ceremony knows no parameter "${unknown}"`);
  const parsed = v.safeParse(scriptSchema, filled(declared.output, parameters));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new VaultRefused(
      `the ceremony script is not valid: ${v.getDotPath(issue) ?? "top level"}: ${issue.message}`,
    );
  }
  return { ...parsed.output, sha256: encodeHex(hash("sha256", encodeUtf8(source), "buffer")) };
}

function yaml(source: string): unknown {
  try {
    return parse(source, { strict: true, uniqueKeys: true, maxAliasCount: 0 });
  } catch {
    throw new VaultRefused("the ceremony script is not YAML");
  }
}

function filled(value: unknown, parameters: { readonly [name: string]: string }): unknown {
  if (typeof value === "string") {
    return value.replaceAll(/\$\{(\w*)\}/g, (_, name: string) => {
      const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
      if (parameter === undefined) {
        throw new VaultRefused(`the ceremony script names an undeclared parameter "${name}"`);
      }
      return parameter;
    });
  }
  if (Array.isArray(value)) return value.map((one) => filled(one, parameters));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, filled(member, parameters)]),
  );
}
