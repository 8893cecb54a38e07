/** The embedded OpenID provider: what it calls itself and whom it lets be whom. */
import * as v from "valibot";
import { isEmailAddress } from "../../core/formats/email.ts";
import { definePlugin } from "../../core/plugin.ts";
import { describeKey, keyLabel, sign } from "../../events/hsm.ts";
import { describeProvider, issueDemoToken } from "../../events/idp.ts";

export const idp = definePlugin({
  name: "idp",
  summary: "Issues ID tokens for demo accounts",
  config: v.strictObject({
    /** The issuer identifier, which is also where its documents are served. */
    issuer: v.pipe(
      v.string(),
      v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?(?:\/[!-~]*[!-.0-~])?$/),
    ),
    /** The vault's RSA key for ID tokens. */
    key: v.optional(keyLabel, "id-token"),
    /** The addresses the holder of the admin secret may be: `any`, or a list. */
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
  }),
  offers: [describeProvider, issueDemoToken],
  needs: [sign, describeKey],
  emits: [],
  follows: [],
  reaches: ["disk"],
});
