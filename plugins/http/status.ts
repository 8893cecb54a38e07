/** Health for whoever runs the installation, and a page for whoever opens it in a browser. */
import type { Health } from "../../core/plugin.ts";
import { textFamily as family } from "./families.ts";
import { json, type Route } from "./route.ts";

/** What the status routes tell. */
export interface Installation {
  readonly publicUrl: string;
  readonly demo: boolean;
  readonly ctLog: string;
  readonly peers: () => Promise<Readonly<{ [room: string]: Health }>>;
  readonly draining: () => boolean;
}

const uncached = { "cache-control": "no-store" };

/** `/healthz`, `/ping`, `/readyz` and `/`. */
export function statusRoutes(installation: Installation): readonly Route[] {
  const page = homePage(installation);
  return [
    {
      method: "GET",
      path: "/healthz",
      family,
      handle: async () => ({ ...json({ status: "SERVING" }), headers: uncached }),
    },
    {
      // What Rekor answers to those who only want to know that somebody is there.
      method: "GET",
      path: "/ping",
      family,
      handle: async () => ({
        status: 200,
        contentType: "text/plain; charset=utf-8",
        body: ".",
        headers: uncached,
      }),
    },
    {
      method: "GET",
      path: "/readyz",
      family,
      handle: async () => await readiness(installation),
    },
    {
      method: "GET",
      path: "/",
      family,
      handle: async () => ({
        status: 200,
        contentType: "text/html; charset=utf-8",
        body: page,
        headers: {
          "content-security-policy":
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
        },
      }),
    },
  ];
}

/** Ready if every room is well. Reasons stay inside; names are enough to know where to look. */
async function readiness({ peers, draining }: Installation) {
  if (draining()) return { ...json({ status: "draining" }, 503), headers: uncached };
  const healths = Object.entries(await peers());
  const unwell = healths.filter(([, health]) => health.status !== "ok");
  if (unwell.length === 0) return { ...json({ status: "ready" }), headers: uncached };
  const rooms = Object.fromEntries(unwell.map(([room, health]) => [room, health.status]));
  return { ...json({ status: "unready", rooms }, 503), headers: uncached };
}

function homePage({ publicUrl, demo, ctLog }: Installation): string {
  const links = [
    ["/tuf/1.root.json", "initial trust root (TUF)"],
    ["/api/v2/trustBundle", "certificate authority"],
    ["/api/v2/configuration", "accepted identity providers"],
    ["/api/v1/log", "transparency log"],
    [`/logs/${ctLog}/ct/v1/get-sth`, "certificate transparency log"],
    ["/oidc/.well-known/openid-configuration", "embedded identity provider"],
    ["/readyz", "readiness"],
  ];
  const items = links.map(
    ([path = "", name = ""]) => `<li><a href="${path}">${name}</a> <code>${path}</code></li>`,
  );
  const warning = demo
    ? "<p class=demo><strong>DEMO MODE.</strong> Anybody who holds this installation's admin secret can be any demo account. Trust nothing signed here.</p>"
    : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Chancery at ${escapeHtml(publicUrl)}</title>
<style>body{font:1rem/1.5 sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}.demo{background:#b00;color:#fff;padding:1rem}</style>
</head><body><h1>Chancery</h1><p>A Sigstore whose keys never leave an HSM, at <code>${escapeHtml(publicUrl)}</code>.</p>
${warning}<ul>
${items.join("\n")}
</ul></body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
