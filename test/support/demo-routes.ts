/** The door's own list of routes, of a demo with everything that has a route: what a table of routes is held against. */
import { doorRoutes } from "../../plugins/http/routes.ts";

/** All of them; nobody answers what they ask. */
export function demoRoutes(): ReturnType<typeof doorRoutes> {
  return doorRoutes(async () => await Promise.reject(new Error("nobody is asked")), {
    publicUrl: "http://localhost",
    demo: true,
    ctLog: "ct",
    rekorV2Log: "rekor-v2",
    peers: async () => await Promise.resolve({}),
    draining: () => false,
  });
}
