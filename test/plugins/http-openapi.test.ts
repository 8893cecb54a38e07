/** The OpenAPI document against the routes: each is in it, and what each takes and answers is what it says. */
import * as v from "valibot";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeRoute } from "../../plugins/http/descriptions.ts";
import { doorRoutes } from "../../plugins/http/routes.ts";
import { openHouse, type House } from "../fuzz/house.ts";
import { http1, type Reply } from "../support/door-client.ts";
import { doorRows, type Row } from "../support/door-material.ts";

const routes = doorRoutes(async () => await Promise.reject(new Error("nobody is asked")), {
  publicUrl: "http://localhost",
  demo: true,
  ctLog: "ct",
  rekorV2Log: "rekor-v2",
  peers: async () => await Promise.resolve({}),
  draining: () => false,
});
type Operation = {
  readonly summary?: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: { readonly [type: string]: { schema?: object } } };
  readonly responses: { readonly [status: string]: { content: { [type: string]: unknown } } };
};

let house: House;
let rows: ReadonlyMap<string, Row>;
let send: (row: Row) => Promise<Reply>;
let paths: { readonly [path: string]: { readonly [method: string]: Operation } };

beforeAll(async () => {
  house = await openHouse();
  const transport = http1({ host: "127.0.0.1", port: house.port });
  rows = new Map((await doorRows(transport, house.home)).map((row) => [row.route, row]));
  send = async ({ good }) => await transport(good);
  const reply = await transport({ method: "GET", path: "/api/openapi.json" });
  const document = JSON.parse(reply.body) as { openapi: string; paths: typeof paths };
  expect(document.openapi).toBe("3.1.0");
  ({ paths } = document);
}, 60_000);
afterAll(async () => await house?.[Symbol.asyncDispose]());

test("the document has every route and no other", () => {
  const written = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const wanted = routes.map(({ method, path }) =>
    `${method} ${path}`.replaceAll(/:([a-z]+)/gi, "{$1}").replace(/\*$/, "{path}"),
  );
  expect(new Set(written)).toEqual(new Set(wanted));
});

test.for(routes.map(({ method, path }) => [method, path] as const))(
  "%s %s takes and answers what it says",
  async ([method, path]) => {
    const template = path.replaceAll(/:([a-z]+)/gi, "{$1}").replace(/\*$/, "{path}");
    const operation = paths[template]?.[method.toLowerCase()];
    const described = describeRoute(method, path);
    const row = rows.get(`${method} ${path}`);
    if (operation === undefined || described === undefined || row === undefined) {
      throw new Error("the route is not described");
    }
    expect(operation.summary).toBe(described.summary);
    const names = operation.parameters.filter((one) => one.in === "path").map(({ name }) => name);
    expect(names).toEqual([...template.matchAll(/\{([a-z]+)\}/gi)].map(([, name]) => name));
    if (row.body === "json" && described.request) {
      v.parse(described.request, JSON.parse(String(row.good.body)));
      expect(operation.requestBody?.content["application/json"]?.schema).toBeDefined();
    }
    const reply = await send(row);
    const { status, mediaType, schema } = described.response;
    // An entry that is there already is a 409, with the body of an error.
    if (reply.status === 409) return;
    expect(reply.status).toBe(status);
    expect(reply.headers["content-type"]).toBe(mediaType);
    expect(operation.responses[String(status)]?.content[mediaType]).toBeDefined();
    if (schema) v.parse(schema, JSON.parse(reply.body));
  },
);

test("an error is what its API says it is", async () => {
  const transport = http1({ host: "127.0.0.1", port: house.port });
  for (const { method, path, body } of routes) {
    const error = describeRoute(method, path)?.error;
    if (error === undefined || body === undefined) continue;
    const headers = { "content-type": "application/json" };
    const reply = await transport({ method, path, headers, body: "{" });
    expect([400, 422]).toContain(reply.status);
    v.parse(error, JSON.parse(reply.body));
  }
});
