/**
 * The bytes of identity's verdict, over which its seal goes: JSON in UTF-8 with members in exactly the order below, no white
 * space, byte strings as lower-case hex and the time as decimal digits. One verdict has one encoding, so a seal covers one
 * meaning. Shape and meaning: `verdict` in `events/identity.ts`.
 *
 * ```
 * {"v":2,"principal":{"oidcIssuer":"…","subject":"…","challenge":"…","san":{"kind":"email","value":"…"},
 *  "extensions":[{"arc":9,"value":"…"}]},"tokenDigest":"<64 hex>","publicKeyHash":"<64 hex>","verifiedAtMs":"<digits>","nonce":"<32 hex>",
 *  "provenance":{"provider":"…","providerVersion":"…","mappingSha256":"<64 hex>","assurance":{"acr":"…","amr":["…"],"authTimeS":1},
 *   "facets":[{"name":"…","value":"…"}],"decision":{"rule":"…","policyVersion":"…","policySha256":"<64 hex>"}}}
 * ```
 *
 * Members of `assurance` and `decision` itself are there or not. Version 1, which older releases wrote, ends with the nonce; the
 * vault's ledger holds such verdicts for ever.
 */
import { encodeHex, encodeUtf8, equalBytes } from "./encoding.ts";
import { parseJsonBytes } from "./json.ts";
import { Malformed } from "./malformed.ts";
import { bytesOf, list, members, text } from "./verdict-members.ts";
import {
  readProvenance,
  writeProvenance,
  type ReadProvenance,
  type VerdictProvenance,
} from "./verdict-provenance.ts";

/** A verdict as {@link encodeVerdict} takes it and {@link decodeVerdict} gives it. */
export interface VerdictFields {
  readonly principal: {
    readonly oidcIssuer: string;
    readonly subject: string;
    readonly challenge: string;
    readonly san: { readonly kind: "email" | "uri" | "otherName"; readonly value: string };
    readonly extensions: readonly { readonly arc: number; readonly value: string }[];
  };
  /** 32 bytes. */
  readonly tokenDigest: Uint8Array;
  /** 32 bytes. */
  readonly publicKeyHash: Uint8Array;
  readonly verifiedAtMs: bigint;
  /** 16 bytes. */
  readonly nonce: Uint8Array;
  /** How the principal came about; absent in verdicts of version 1. */
  readonly provenance?: VerdictProvenance;
}

/** A decoded verdict, with arrays that may be handed on to the bus. */
type DecodedVerdict = Omit<VerdictFields, "principal" | "provenance"> & {
  readonly provenance?: ReadProvenance;
  readonly principal: Omit<VerdictFields["principal"], "extensions"> & {
    readonly extensions: { readonly arc: number; readonly value: string }[];
  };
};

/** No verdict is longer: 4 strings of 2048, 22 extensions of 4096 and 32 facets of 1024 characters, each up to 6 bytes when escaped. */
const maxVerdictBytes = 1_048_576;

/** @throws {Malformed} if a string holds a lone surrogate. */
export function encodeVerdict(verdict: VerdictFields): Uint8Array {
  const { principal, tokenDigest, publicKeyHash, verifiedAtMs, nonce, provenance } = verdict;
  const { oidcIssuer, subject, challenge, san, extensions } = principal;
  for (const text of [
    oidcIssuer,
    subject,
    challenge,
    san.value,
    ...extensions.map((e) => e.value),
  ]) {
    if (!text.isWellFormed()) throw new Malformed("verdict: lone surrogate");
  }
  // JSON.stringify writes members in the order they are given here.
  const ordered = {
    v: provenance === undefined ? 1 : 2,
    principal: {
      oidcIssuer,
      subject,
      challenge,
      san: { kind: san.kind, value: san.value },
      extensions: extensions.map(({ arc, value }) => ({ arc, value })),
    },
    tokenDigest: encodeHex(tokenDigest),
    publicKeyHash: encodeHex(publicKeyHash),
    verifiedAtMs: verifiedAtMs.toString(),
    nonce: encodeHex(nonce),
    ...(provenance !== undefined && { provenance: writeProvenance(provenance) }),
  };
  return encodeUtf8(JSON.stringify(ordered));
}

/** The one verdict these bytes encode. @throws {Malformed} on anything {@link encodeVerdict} would not have written. */
export function decodeVerdict(bytes: Uint8Array): DecodedVerdict {
  if (bytes.length > maxVerdictBytes) throw new Malformed("verdict: too long");
  const whole = members(parseJsonBytes(bytes));
  const said = members(whole["principal"]);
  const san = members(said["san"]);
  const time = text(whole["verifiedAtMs"]);
  if (!/^\d{1,19}$/.test(time)) throw new Malformed("verdict: not a time");
  const verdict = {
    principal: {
      oidcIssuer: text(said["oidcIssuer"]),
      subject: text(said["subject"]),
      challenge: text(said["challenge"]),
      san: { kind: sanKind(san["kind"]), value: text(san["value"]) },
      extensions: list(said["extensions"]).map((one) => {
        const extension = members(one);
        return { arc: arc(extension["arc"]), value: text(extension["value"]) };
      }),
    },
    tokenDigest: bytesOf(whole["tokenDigest"], 32),
    publicKeyHash: bytesOf(whole["publicKeyHash"], 32),
    verifiedAtMs: BigInt(time),
    nonce: bytesOf(whole["nonce"], 16),
    ...(whole["v"] === 2 && { provenance: readProvenance(whole["provenance"]) }),
  };
  // Duplicate or unknown members, another order, white space and other escapes all end here.
  if (!equalBytes(encodeVerdict(verdict), bytes)) throw new Malformed("verdict: not canonical");
  return verdict;
}

function arc(value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 2 || value > 23) {
    throw new Malformed("verdict: not an extension's arc");
  }
  return value;
}

function sanKind(value: unknown): "email" | "uri" | "otherName" {
  if (value === "email" || value === "uri" || value === "otherName") return value;
  throw new Malformed("verdict: not a kind of name");
}
