/** The embedded OpenID provider: what it calls itself, who may sign in there, and whom it asks about them. */
import * as v from "valibot";
import { isEmailAddress } from "../../core/formats/email.ts";
import { definePlugin } from "../../core/plugin.ts";
import { describeKey, keyLabel, sign } from "../../events/hsm.ts";
import {
  describeProvider,
  idTokenIssued,
  issueDemoToken,
  signInsRefused,
} from "../../events/idp.ts";

const url = v.pipe(
  v.string(),
  v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?(?:\/[!-~]*[!-.0-~])?$/),
);
const origin = v.pipe(v.string(), v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?$/));
/** A file below the home. */
const file = v.pipe(v.string(), v.regex(/^[a-z0-9-]+(?:\/[a-z0-9.-]+)*$/), v.excludes(".."));

/** Another OpenID provider that people sign in at; this one then only passes on what that one says. */
const upstream = v.strictObject({
  /** Its issuer identifier, exactly as its tokens say it. */
  issuer: url,
  /** Origins besides the issuer's own that its token endpoint and its keys may have, as with Google; nothing else is asked. */
  origins: v.optional(v.pipe(v.array(origin), v.maxLength(8)), []),
  clientId: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  /** The secret's file below the home; absent for a public client. */
  clientSecretFile: v.optional(file),
  /** What verifiers know it by (`federated_claims.connector_id`); its issuer unless said otherwise. */
  connectorId: v.optional(v.pipe(v.string(), v.regex(/^[!-~]{1,256}$/))),
  /** What the button says. */
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  scope: v.optional(
    v.pipe(v.string(), v.regex(/^openid(?: [a-z0-9._:/-]+)*$/)),
    "openid email profile",
  ),
});

export const idp = definePlugin({
  name: "idp",
  summary: "Signs people in and issues their ID tokens",
  config: v.strictObject({
    /** The issuer identifier, which is also where its documents are served. */
    issuer: url,
    /** The vault's RSA key for ID tokens. */
    key: v.optional(keyLabel, "id-token"),
    /** Demo accounts: the addresses the holder of the admin secret may be, `any` or a list. */
    accounts: v.optional(
      v.union([
        v.literal("any"),
        v.pipe(
          v.array(v.pipe(v.string(), v.check(isEmailAddress, "not an e-mail address"))),
          v.maxLength(1_000),
        ),
      ]),
      [],
    ),
    /** The secret's file below the home. */
    adminSecretFile: v.optional(
      v.pipe(v.string(), v.regex(/^[a-z0-9-]+(?:\/[a-z0-9-]+)*$/)),
      "secrets/admin",
    ),
    upstream: v.optional(upstream),
    /** How long an ID token is good for; a certificate is asked for at once. */
    tokenLifetimeSeconds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(60), v.maxValue(3_600)),
      600,
    ),
    /** How long a browser stays signed in. Every token is still agreed to. */
    sessionLifetimeSeconds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(60), v.maxValue(604_800)),
      28_800,
    ),
    /** RFC 8628 §3.2: how long a device waits between two polls. */
    devicePollSeconds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(60)),
      5,
    ),
  }),
  offers: [describeProvider, issueDemoToken],
  needs: [sign, describeKey],
  emits: [idTokenIssued, signInsRefused],
  follows: [],
  keeps: { tables: [], patient: true },
  reaches: ["disk", "listen", "internet"],
});

/** Its configuration, defaults filled in. */
export type IdpConfig = v.InferOutput<typeof idp.manifest.config>;
/** How it asks another provider. */
export type Upstream = v.InferOutput<typeof upstream>;
