/** What is looked for: how it is found in the index, and how an entry is held against it. */
import { Malformed } from "../../core/formats/malformed.ts";
import type { Described } from "./describe.ts";
import { extensionField, hashedArcs, hashedKey, type Term, textFields } from "./fields.ts";
import { parsePattern, type Pattern } from "./wildcard.ts";

/** A condition on texts: one of them, under one of these fields, matches. */
export interface TextCondition {
  readonly fields: readonly number[];
  readonly pattern: Pattern;
}

/** A filter as the index needs it. */
export interface Wanted {
  /** Every one must be among an entry's keys. */
  readonly keys: readonly number[];
  readonly texts: readonly TextCondition[];
  /** True of an entry that was really meant: keys are prefixes of hashes. */
  isTrueOf(entry: Described): boolean;
}

/** One of them: besides the fields of a search there is `bareKey`, the key of a verifier that is no certificate. */
export interface Condition {
  readonly field: string;
  readonly value: string;
}

interface Part {
  readonly key?: number;
  readonly text?: TextCondition;
  isTrueOf(entry: Described): boolean;
}

/** @throws {Malformed} with a sentence for whoever asks. */
export function readConditions(conditions: readonly Condition[]): Wanted {
  const parts = conditions.map(readCondition);
  return {
    keys: parts.flatMap(({ key }) => key ?? []),
    texts: parts.flatMap(({ text }) => text ?? []),
    isTrueOf: (entry) => parts.every((part) => part.isTrueOf(entry)),
  };
}

/** True if the texts hold under a profile with these terms. */
export function holdsFor(texts: readonly TextCondition[], terms: readonly Term[]): boolean {
  return texts.every(({ fields, pattern }) =>
    terms.some(({ field, value }) => fields.includes(field) && pattern.matches(value)),
  );
}

/** The values that a facet counts under a profile. @throws {Malformed} for a field that is not kept as text */
export function facetReader(field: string): (terms: readonly Term[]) => readonly string[] {
  const under = (terms: readonly Term[], fields: readonly number[]): readonly string[] =>
    terms.flatMap((term) => (fields.includes(term.field) ? term.value : []));
  if (field === "issuer") {
    const [newer = 0, older = 0] = issuerFields;
    return (terms) => {
      const found = under(terms, [newer]);
      return found.length > 0 ? found : under(terms, [older]);
    };
  }
  const fields = textFieldsOf(field);
  if (fields === null) throw new Malformed(`"${field}" has too many values to be counted`);
  return (terms) => under(terms, fields);
}

const nameFields = [
  textFields.email,
  textFields.uri,
  textFields.otherName,
  textFields.dns,
  textFields.ip,
];
const issuerFields = [extensionField(8), extensionField(1)];

/** Null if the field is kept as a hash. */
function textFieldsOf(field: string): readonly number[] | null {
  switch (field) {
    case "san":
      return nameFields;
    case "email":
      return [textFields.email];
    case "issuer":
      return issuerFields;
    case "kind":
      return [textFields.kind];
    default: {
      const arc = Number(/^extension\.(\d+)$/.exec(field)?.[1] ?? NaN);
      return Number.isNaN(arc) || hashedArcs.has(arc) ? null : [extensionField(arc)];
    }
  }
}

function readCondition({ field, value }: Condition): Part {
  const fields = textFieldsOf(field);
  if (fields === null) return readHashed(field, value);
  const isName = field === "san" || field === "email";
  const pattern = parsePattern(value, isName);
  return {
    text: { fields: isName ? [...fields, textFields.folded] : fields, pattern },
    isTrueOf: (entry) => textsOf(entry, field).some((text) => pattern.matches(text)),
  };
}

function readHashed(field: string, value: string): Part {
  if (value.includes("*")) throw new Malformed(`"${field}" is looked for whole, without "*"`);
  switch (field) {
    case "digest": {
      const digest = readDigest(value);
      return {
        key: hashedKey("digest", digest),
        isTrueOf: ({ digests }) =>
          digests.some((one) => `${one.algorithm}:${one.value}` === digest),
      };
    }
    case "key":
    case "certificate": {
      const fingerprint = readFingerprint(field, value);
      return {
        key: hashedKey(field, fingerprint),
        isTrueOf: ({ signers }) => signers.some((signer) => signer[field] === fingerprint),
      };
    }
    case "bareKey": {
      const fingerprint = readFingerprint("key", value);
      return {
        key: hashedKey("key", fingerprint),
        isTrueOf: ({ signers }) =>
          signers.some(({ key, certificate }) => key === fingerprint && certificate === undefined),
      };
    }
    default:
      return {
        key: hashedKey(field, value),
        isTrueOf: (entry) => textsOf(entry, field).includes(value),
      };
  }
}

function textsOf({ kind, signers }: Described, field: string): readonly string[] {
  switch (field) {
    case "kind":
      return [kind];
    case "san":
      return signers.flatMap(({ sans }) => sans.map(({ value }) => value));
    case "email":
      return signers.flatMap(({ sans }) =>
        sans.flatMap((name) => (name.kind === "email" ? name.value : [])),
      );
    case "issuer":
      return signers.flatMap(({ extensions }) =>
        [extensions["8"] ?? [], extensions["1"] ?? []].flat(),
      );
    default: {
      const arc = field.slice("extension.".length);
      return signers.flatMap(({ extensions }) => extensions[arc] ?? []);
    }
  }
}

const algorithmsByLength = new Map([
  [40, "sha1"],
  [64, "sha256"],
  [96, "sha384"],
  [128, "sha512"],
]);

/** `algorithm:hex`, or hex whose length says the algorithm. @throws {Malformed} */
function readDigest(value: string): string {
  const [, named, hex = ""] =
    /^(?:([a-z0-9_-]{1,16}):)?([0-9a-f]+)$/.exec(value.toLowerCase()) ?? [];
  const algorithm = algorithmsByLength.get(hex.length);
  if (algorithm === undefined || (named !== undefined && named !== algorithm)) {
    throw new Malformed(
      "a digest is hex, of SHA-256 or the like, with or without sha256: in front",
    );
  }
  return `${algorithm}:${hex}`;
}

/** @throws {Malformed} */
function readFingerprint(field: string, value: string): string {
  const hex = value.toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new Malformed(`"${field}" is the SHA-256 of its DER form, 64 hex digits`);
}
