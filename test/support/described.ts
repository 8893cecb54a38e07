/** What a route takes and answers, held against what the OpenAPI document says of it. */
import * as v from "valibot";
import { expect } from "vitest";
import { describeRoute } from "../../plugins/http/descriptions.ts";
import type { Reply } from "./door-client.ts";
import type { Row } from "./door-material.ts";

/** Holds a good request and its answer against the description of their route. */
export function expectDescribed({ route, body, good }: Row, reply: Reply): void {
  const [method = "", path = ""] = route.split(" ");
  const described = describeRoute(method, path);
  if (described === undefined) throw new Error(`${route} is not described`);
  if (body === "json" && described.request) {
    v.parse(described.request, JSON.parse(String(good.body)));
  }
  // An entry that is there already is a 409, with the body of an error.
  if (reply.status === 409) return;
  const { status, mediaType, schema } = described.response;
  expect([reply.status, reply.headers["content-type"]]).toEqual([status, mediaType]);
  if (schema) v.parse(schema, JSON.parse(reply.body));
}
