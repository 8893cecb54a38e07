/** Every route of the door, in one list: what is not in it does not exist. */
import { ctRoutes } from "./ct.ts";
import { fulcioRoutes } from "./fulcio.ts";
import { oidcRoutes } from "./oidc.ts";
import { openApiRoute } from "./openapi.ts";
import { nobodyThere, type PassOn } from "./pass-on.ts";
import { rekorV2Routes } from "./rekor-v2.ts";
import { rekorRoutes } from "./rekor.ts";
import type { Put, Route } from "./route.ts";
import { searchRoutes } from "./search.ts";
import { type Installation, statusRoutes } from "./status.ts";
import { tileRoutes } from "./tiles.ts";
import { timestampRoutes } from "./timestamp.ts";
import { tufRoutes } from "./tuf.ts";

/** The routes of an installation; `signIn` is where requests of people who sign in are passed on to. */
export function doorRoutes(
  ask: Put,
  installation: Installation,
  signIn: PassOn = nobodyThere,
): readonly Route[] {
  const routes = [
    ...statusRoutes(installation),
    ...fulcioRoutes(ask),
    ...ctRoutes(ask),
    ...rekorRoutes(ask),
    ...rekorV2Routes(ask),
    ...searchRoutes(ask),
    ...timestampRoutes(ask),
    ...tileRoutes(ask, installation.rekorV2Log),
    ...tufRoutes(ask),
    ...oidcRoutes(ask, signIn),
  ];
  return [...routes, openApiRoute(routes, installation.publicUrl)];
}
