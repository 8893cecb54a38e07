/** The timestamp authority's API (`timestamp-authority:openapi.yaml`; RFC 3161 §3.4 over HTTP). */
import { formatPem } from "../../core/formats/pem.ts";
import {
  createTimestamp,
  maxTimestampRequestBytes,
  timestampChain,
} from "../../events/timestamp.ts";
import { timestampFamily as family } from "./families.ts";
import type { Put, Route } from "./route.ts";

const query = "application/timestamp-query";

/** The routes of the timestamp authority. */
export function timestampRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/api/v1/timestamp",
      family,
      body: {
        mediaType: query,
        alternatives: ["application/json"],
        maxBytes: maxTimestampRequestBytes,
      },
      async handle({ body: request, mediaType }) {
        const form = mediaType === query ? "query" : "json";
        const { granted, response } = await ask(createTimestamp, { form, request });
        // Who sends JSON reads no rejection in DER; who sends DER finds the reason in it.
        if (!granted && form === "json") return family.word(400, "malformed");
        return {
          status: granted ? 200 : 400,
          contentType: "application/timestamp-reply",
          body: response,
          headers: { "cache-control": "no-store" },
        };
      },
    },
    {
      method: "GET",
      path: "/api/v1/timestamp/certchain",
      family,
      async handle() {
        const { certificates } = await ask(timestampChain, {});
        const pem = certificates.map((der) => formatPem("CERTIFICATE", der)).join("");
        return { status: 200, contentType: "application/pem-certificate-chain", body: pem };
      },
    },
  ];
}
