/**
 * The operator: an identity of the bus that is no plugin. The commands of `chancery operate` connect with its nkey and its pair keys,
 * which no process of the installation has, and rooms answer these asks to nobody else.
 */
import * as v from "valibot";
import { definePlugin, type Manifest } from "../core/plugin.ts";
import { bindChain, certifySelf, describeKey, generateKey, retireKey } from "../events/hsm.ts";
import { activateIssuer, trustBundle } from "../events/issuer.ts";
import { freezeLog, latestHead, listLogs, retireLog, rollLog } from "../events/log.ts";
import { rebuildIndex } from "../events/search.ts";
import { publishRoot, publishTargets, readTrustFile } from "../events/trust.ts";
import { plugins } from "./plugins.ts";

/** What an operator may ask. */
export const operator: Manifest = definePlugin({
  name: "operator",
  summary: "asks for the steps of ceremonies on a live instance",
  config: v.strictObject({}),
  offers: [],
  needs: [
    describeKey,
    generateKey,
    bindChain,
    certifySelf,
    trustBundle,
    activateIssuer,
    latestHead,
    freezeLog,
    listLogs,
    rollLog,
    retireLog,
    retireKey,
    rebuildIndex,
    readTrustFile,
    publishTargets,
    publishRoot,
  ],
  emits: [],
  follows: [],
  reaches: [],
}).manifest;

/** Everybody who has an identity on the bus. */
export const parties: readonly Manifest[] = [...plugins.map(({ manifest }) => manifest), operator];
