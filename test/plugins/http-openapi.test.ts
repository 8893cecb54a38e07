/** The OpenAPI document against the routes: each is in it and described. That they do what it says is in test/scenario/door.test.ts. */
import * as v from "valibot";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeRoute } from "../../plugins/http/descriptions.ts";
import { demoRoutes } from "../support/demo-routes.ts";
import { bootDoor, type Door } from "../support/door.ts";

const routes = demoRoutes();
interface Operation {
  readonly summary?: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: { readonly [type: string]: { readonly schema?: object } };
  };
  readonly responses: {
    readonly [status: string]: { readonly content: { readonly [type: string]: unknown } };
  };
}

let door: Door;
let paths: { readonly [path: string]: { readonly [method: string]: Operation } };

beforeAll(async () => {
  door = await bootDoor({ rekorV2Log: "rekor-v2" });
  const response = await fetch(`${door.origin}/api/openapi.json`);
  const document = (await response.json()) as { openapi: string; paths: typeof paths };
  expect(document.openapi).toBe("3.1.0");
  ({ paths } = document);
});
afterAll(async () => await door.dispose());

const templateOf = (path: string): string =>
  path.replaceAll(/:([a-z]+)/gi, "{$1}").replace(/\*$/, "{path}");

test("the document has every route and no other", () => {
  const written = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const wanted = routes.map(({ method, path }) => `${method} ${templateOf(path)}`);
  expect(new Set(written)).toEqual(new Set(wanted));
});

test.for(routes.map(({ method, path }) => [method, path] as const))(
  "%s %s is described, its parameters, body and answers",
  ([method, path]) => {
    const template = templateOf(path);
    const operation = paths[template]?.[method.toLowerCase()];
    const described = describeRoute(method, path);
    if (operation === undefined || described === undefined) throw new Error("not described");
    expect(operation.summary).toBe(described.summary);
    const names = operation.parameters.filter((one) => one.in === "path").map(({ name }) => name);
    expect(names).toEqual([...template.matchAll(/\{([a-z]+)\}/gi)].map(([, name]) => name));
    const { status, mediaType } = described.response;
    expect(operation.responses[String(status)]?.content[mediaType]).toBeDefined();
    expect(operation.responses["default"]).toBeDefined();
    const body = operation.requestBody?.content["application/json"];
    if (described.request) expect(body?.schema).toMatchObject({ type: "object" });
  },
);

test("an error is what its API says it is", async () => {
  for (const { method, path, body } of routes) {
    const error = describeRoute(method, path)?.error;
    if (error === undefined || body === undefined) continue;
    const headers = { "content-type": "application/json" };
    const url = `${door.origin}${path.replace(/:log/, "ct")}`;
    const before = { ...door.answer };
    for (const name of Object.keys(door.answer)) door.answer[name] = "malformed";
    const response = await fetch(url, { method, headers, body: "{" });
    Object.assign(door.answer, before);
    expect([400, 422], path).toContain(response.status);
    v.parse(error, await response.json());
  }
});
