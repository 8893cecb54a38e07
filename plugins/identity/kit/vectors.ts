/**
 * Vectors of a provider: claims of tokens and exactly what a certificate must say of them, or that they must be refused. Times,
 * audience and issuer are added by the trial; everything else of a token stands in the vector.
 */
import * as v from "valibot";
import { Malformed } from "../../../core/formats/malformed.ts";
import { parseData } from "../provider-file.ts";

const claims = v.record(v.string(), v.unknown());
const texts = v.record(v.string(), v.string());

const accepted = v.strictObject({
  name: v.string(),
  /** Settings of the issuer for this vector alone. */
  issuer: v.exactOptional(claims),
  claims,
  san: v.strictObject({ kind: v.picklist(["email", "uri", "otherName"]), value: v.string() }),
  /** By arc: all of them but 1, 8 and 24. */
  extensions: texts,
  /** Extensions 1 and 8, where they are not the token's issuer. */
  oidcIssuer: v.exactOptional(v.string()),
  /** Where it is not the subject. */
  challenge: v.exactOptional(v.string()),
  facets: v.exactOptional(texts),
  assurance: v.exactOptional(claims),
});

const refused = v.strictObject({
  name: v.string(),
  issuer: v.exactOptional(claims),
  /** What is different from the first accepted vector; null takes a claim away. */
  change: claims,
  /** A part of the reason. */
  because: v.exactOptional(v.string()),
});

const vectors = v.strictObject({
  $schema: v.exactOptional(v.string()),
  /** The issuer as `config.yaml` would have it, without its provider. */
  issuer: v.looseObject({ issuerUrl: v.string() }),
  accepted: v.pipe(v.array(accepted), v.minLength(1)),
  refused: v.array(refused),
});

/** All vectors of a provider. */
export type Vectors = v.InferOutput<typeof vectors>;

/** Reads them from YAML or JSON. @throws {Malformed} naming what is wrong. */
export function parseVectors(file: string, bytes: Uint8Array): Vectors {
  const checked = v.safeParse(vectors, parseData(file, bytes));
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw new Malformed(`${file}: ${v.getDotPath(issue) ?? "(root)"}: ${issue.message}`);
}
