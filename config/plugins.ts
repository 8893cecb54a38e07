/** What is installed: the one list. Importing a manifest does nothing; a plugin's code is loaded by the process that runs it. */
import type { Entry } from "../core/kernel.ts";
import { hsm } from "../hsm/manifest.ts";
import { audit } from "../plugins/audit/manifest.ts";
import { ct } from "../plugins/ct/manifest.ts";
import { http } from "../plugins/http/manifest.ts";
import { identity } from "../plugins/identity/manifest.ts";
import { idp } from "../plugins/idp/manifest.ts";
import { issuer } from "../plugins/issuer/manifest.ts";
import { log } from "../plugins/log/manifest.ts";
import { metrics } from "../plugins/metrics/manifest.ts";
import { policy } from "../plugins/policy/manifest.ts";
import { rekor } from "../plugins/rekor/manifest.ts";
import { search } from "../plugins/search/manifest.ts";
import { timestamp } from "../plugins/timestamp/manifest.ts";
import { trust } from "../plugins/trust/manifest.ts";

/** A plugin and the process it runs in unless `placement` in `config.yaml` says otherwise. */
export interface Placed extends Entry {
  readonly process: "vault" | "services";
}

/** Every plugin. */
export const plugins: readonly Placed[] = [
  { ...hsm, process: "vault", load: () => import("../hsm/plugin.ts") },
  { ...policy, process: "services", load: () => import("../plugins/policy/plugin.ts") },
  { ...identity, process: "services", load: () => import("../plugins/identity/plugin.ts") },
  { ...idp, process: "services", load: () => import("../plugins/idp/plugin.ts") },
  { ...issuer, process: "services", load: () => import("../plugins/issuer/plugin.ts") },
  { ...ct, process: "services", load: () => import("../plugins/ct/plugin.ts") },
  { ...log, process: "services", load: () => import("../plugins/log/plugin.ts") },
  { ...rekor, process: "services", load: () => import("../plugins/rekor/plugin.ts") },
  { ...search, process: "services", load: () => import("../plugins/search/plugin.ts") },
  { ...timestamp, process: "services", load: () => import("../plugins/timestamp/plugin.ts") },
  { ...trust, process: "services", load: () => import("../plugins/trust/plugin.ts") },
  { ...metrics, process: "services", load: () => import("../plugins/metrics/plugin.ts") },
  { ...audit, process: "services", load: () => import("../plugins/audit/plugin.ts") },
  { ...http, process: "services", load: () => import("../plugins/http/plugin.ts") },
];
