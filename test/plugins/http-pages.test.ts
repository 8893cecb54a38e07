/** What pages of other origins may do (Fetch, CORS). */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());
beforeEach(() => {
  door.heard.length = 0;
});

/** Asks as a browser does for a page of another origin, and reads the answer to its end. */
async function ask(path: string, init: RequestInit = {}) {
  const headers = new Headers(init.headers);
  headers.set("origin", "https://search.example");
  const response = await fetch(`${door.origin}${path}`, { ...init, headers });
  await response.arrayBuffer();
  return response;
}

it.each(["/api/v1/log", "/api/v2/trustBundle", "/tuf/timestamp.json", "/logs/ct/ct/v1/get-sth"])(
  "lets pages of any origin read %s",
  async (path) => {
    const response = await ask(path);
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  },
);

it("lets pages read why they were refused", async () => {
  const response = await ask("/api/v1/log/entries", { method: "POST", body: "text" });
  expect(response.status).toBe(415);
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
});

it.each([
  ["/api/v2/signingCert", 204, "*", "POST"],
  ["/api/v1/log/entries", 204, "*", "GET, HEAD, POST"],
  ["/oidc/token", 405, null, null],
  ["/nowhere", 404, null, null],
])("answers a browser's preflight to %s", async (path, status, origin, methods) => {
  const response = await ask(path, {
    method: "OPTIONS",
    headers: {
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    },
  });
  expect(response.status).toBe(status);
  expect(response.headers.get("access-control-allow-origin")).toBe(origin);
  expect(response.headers.get("access-control-allow-methods")).toBe(methods);
  expect(door.heard).toEqual([]);
});

it("keeps the demo tokens from pages", async () => {
  const response = await ask("/oidc/jwks");
  expect(response.headers.get("access-control-allow-origin")).toBeNull();
});
