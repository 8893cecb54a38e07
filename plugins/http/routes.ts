/** Every route of the door, in one list: what is not in it does not exist. */
import { ctRoutes } from "./ct.ts";
import { fulcioRoutes } from "./fulcio.ts";
import { oidcRoutes } from "./oidc.ts";
import { openApiRoute } from "./openapi.ts";
import { rekorV2Routes } from "./rekor-v2.ts";
import { rekorRoutes } from "./rekor.ts";
import type { Put, Route } from "./route.ts";
import { type Installation, statusRoutes } from "./status.ts";
import { tileRoutes } from "./tiles.ts";
import { timestampRoutes } from "./timestamp.ts";
import { tufRoutes } from "./tuf.ts";

/** The routes of an installation. */
export function doorRoutes(ask: Put, installation: Installation): readonly Route[] {
  const routes = [
    ...statusRoutes(installation),
    ...fulcioRoutes(ask),
    ...ctRoutes(ask, installation.ctLog),
    ...rekorRoutes(ask),
    ...rekorV2Routes(ask),
    ...timestampRoutes(ask),
    ...tileRoutes(ask, installation.rekorV2Log),
    ...tufRoutes(ask),
    ...oidcRoutes(ask),
  ];
  return [...routes, openApiRoute(routes, installation.publicUrl)];
}
