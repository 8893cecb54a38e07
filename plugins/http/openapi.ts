/** The OpenAPI 3.1 document, made of the routes themselves, so that there is none that it does not have. */
import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { describeRoute, type Description } from "./descriptions.ts";
import { textFamily } from "./families.ts";
import type { Route } from "./route.ts";

const path = "/api/openapi.json";

/** The route of the document, which describes it too. */
export function openApiRoute(routes: readonly Route[], publicUrl: string): Route {
  const route: Route = {
    method: "GET",
    path,
    family: textFamily,
    handle: async () => ({ status: 200, contentType: "application/json", body }),
  };
  const body = JSON.stringify(openApiDocument([...routes, route], publicUrl));
  return route;
}

/** The document. */
export function openApiDocument(routes: readonly Route[], publicUrl: string): object {
  const paths: { [path: string]: { [method: string]: object } } = {};
  for (const route of routes) {
    const methods = (paths[templateOf(route.path)] ??= {});
    methods[route.method.toLowerCase()] = operation(route);
  }
  const title = "Chancery";
  return { openapi: "3.1.0", info: { title, version: "1" }, servers: [{ url: publicUrl }], paths };
}

/** `:name` and the rest behind `*` as OpenAPI writes them. */
function templateOf(route: string): string {
  return route.replaceAll(/:([a-z]+)/gi, "{$1}").replace(/\*$/, "{path}");
}

function operation(route: Route): object {
  const described = describeRoute(route.method, route.path);
  const parameters = [
    ...[...templateOf(route.path).matchAll(/\{([a-z]+)\}/gi)].map(([, name]) =>
      parameter(name, "path", true),
    ),
    ...(described?.query ?? []).map((name) => parameter(name, "query", false)),
  ];
  return {
    ...(described && { summary: described.summary }),
    parameters,
    ...(route.body && { requestBody: requestBody(route.body, described) }),
    responses: responses(described),
  };
}

function parameter(name: string | undefined, place: string, required: boolean): object {
  return { name, in: place, required, schema: { type: "string" } };
}

function requestBody(
  { mediaType, alternatives = [] }: NonNullable<Route["body"]>,
  described: Description | undefined,
): object {
  const schema = described?.request;
  const content = [mediaType, ...alternatives].map((type) => [
    type,
    // What is described is JSON, whatever else is taken.
    type === "application/json" && schema ? { schema: schemaOf(schema) } : {},
  ]);
  return { required: true, content: Object.fromEntries(content) };
}

function responses(described: Description | undefined): object {
  const { response, error } = described ?? {};
  const refused = error
    ? { content: { "application/json": { schema: schemaOf(error) } } }
    : { content: { "text/plain": {} } };
  return {
    ...(response && {
      [response.status]: {
        description: "done",
        content: {
          [response.mediaType]: response.schema ? { schema: schemaOf(response.schema) } : {},
        },
      },
    }),
    default: { description: "refused", ...refused },
  };
}

function schemaOf(schema: v.GenericSchema): object {
  const { $schema: _dialect, ...rest } = toJsonSchema(schema, { errorMode: "ignore" });
  return rest;
}
