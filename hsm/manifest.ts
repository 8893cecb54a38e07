/** The vault, as the kernel knows it. */
import * as v from "valibot";
import { definePlugin } from "../core/plugin.ts";
import {
  bindChain,
  certifySelf,
  completeCertificate,
  describeKey,
  generateKey,
  lastSigned,
  listOwnRoots,
  retireKey,
  sign,
} from "../events/hsm.ts";

const days = (standard: number) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3_660)), standard);
const whole = (standard: number, min: number, max: number) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max)), standard);

/** The plugin `hsm`. */
export const hsm = definePlugin({
  name: "hsm",
  summary: "signs structures with keys that never leave the HSM, and remembers every signature",
  config: v.strictObject({
    /** Path of the PKCS#11 library. */
    module: v.pipe(v.string(), v.minLength(1)),
    /** Label of the token, as a second check on the keyring's. */
    tokenLabel: v.pipe(v.string(), v.minLength(1), v.maxLength(32)),
    /** Below the home. */
    keyring: v.optional(v.string(), "vault/keyring.json"),
    /** `sync` signs on the main thread, which suits tokens faster than 0.25 ms; `auto` measures at start. */
    signing: v.optional(v.picklist(["auto", "sync", "async"]), "auto"),
    /** Signatures at once when asynchronous. */
    sessions: whole(8, 1, 256),
    maxCertificateSeconds: whole(600, 60, 86_400),
    verdictFreshSeconds: whole(60, 1, 600),
    /** Sign certificates that embed no SCT, for an issuer with `scts: detached`; the guard gives each verdict one certificate either way. */
    bareCertificates: v.optional(v.boolean(), false),
    roleLifetimeDays: v.optional(
      v.strictObject({
        root: days(3_660),
        targets: days(3_660),
        snapshot: days(400),
        timestamp: days(32),
      }),
      {},
    ),
    /** How long a call into the device may take before the process ends itself; 0 for ever. */
    hangLimitMs: whole(20_000, 0, 600_000),
  }),
  offers: [
    sign,
    completeCertificate,
    describeKey,
    lastSigned,
    generateKey,
    bindChain,
    certifySelf,
    listOwnRoots,
    retireKey,
  ],
  needs: [],
  emits: [],
  follows: [],
  reaches: ["hsm", "disk"],
});
