/** How each API words its errors, and the status of every failure code in it. */
import type { FailureCode } from "../../events/failure.ts";
import { type Answered, type Family, json } from "./route.ts";

/** What a code means on the web when an API has no reason to say otherwise. */
const statuses = {
  malformed: 400,
  "not-found": 404,
  "out-of-range": 400,
  "identity-rejected": 400,
  "issuer-unavailable": 503,
  "key-malformed": 400,
  "key-insecure": 400,
  "key-not-permitted": 400,
  "request-malformed": 400,
  "possession-unproven": 400,
  "policy-refused": 403,
  "rate-limited": 429,
  "signature-invalid": 400,
  "entry-unsupported": 400,
  "chain-rejected": 400,
  "access-denied": 403,
  "log-unavailable": 503,
  "lint-refused": 400,
  "key-unavailable": 503,
  "purpose-refused": 500,
  "guard-refused": 500,
  "time-unavailable": 503,
  // Gone for writing, and for good.
  "log-frozen": 410,
  "operation-refused": 500,
  conflict: 503,
  overloaded: 503,
  "deadline-exceeded": 504,
  internal: 500,
} as const satisfies Record<FailureCode, number>;

/** Fixed texts for requests that are refused before any API looks at them. */
const refusals: { readonly [status: number]: string } = {
  400: "bad request",
  401: "unauthorized",
  403: "forbidden",
  404: "not found",
  405: "method not allowed",
  408: "request took too long",
  413: "request body too large",
  415: "content type or encoding not supported",
  417: "expectation failed",
  429: "too many requests",
  431: "request header too large",
  500: "internal error",
  501: "method not implemented",
  503: "service unavailable, try again later",
  504: "no answer in time, try again later",
};

/** The fixed text of a status. */
export function refusalText(status: number): string {
  return refusals[status] ?? "error";
}

/** Fulcio: grpc-gateway bodies, with the messages of `fulcio:pkg/server/error.go`. Every fault of a token is a 400. */
export const fulcioFamily: Family = {
  crossOrigin: true,
  statuses: { ...statuses, "log-unavailable": 500, "log-frozen": 500, "key-unavailable": 500 },
  word: (status, code) =>
    json({ code: grpcCode(status), message: fulcioMessage(status, code), details: [] }, status),
};

const fulcioMessages: { readonly [Code in FailureCode]?: string } = {
  "identity-rejected": "There was an error processing the identity token",
  "policy-refused": "The policy does not allow this identity a certificate",
  "rate-limited": "This identity or its provider has asked for too many certificates",
  "issuer-unavailable": "The identity provider's keys are not available",
  "request-malformed": "The certificate signing request could not be parsed",
  "key-malformed": "The public key supplied in the request could not be parsed",
  "key-insecure": "The public key supplied in the request is insecure",
  "key-not-permitted": "Signing algorithm not permitted",
  "possession-unproven": "The signature supplied in the request could not be verified",
  "signature-invalid": "The signature supplied in the request could not be verified",
  "lint-refused": "The identity does not fit a certificate",
  "log-unavailable": "Error entering certificate in CTL",
  "log-frozen": "The CT log is frozen and takes no more certificates",
  "key-unavailable": "error communicating with CA backend",
};

/** Every text that Fulcio's API says of a failure. */
export const fulcioTexts: readonly string[] = Object.values(fulcioMessages);

/** A failure as a gRPC status, with the very code and text that the REST API answers. */
export function fulcioStatus(code: FailureCode): {
  readonly code: number;
  readonly message: string;
} {
  const status = fulcioFamily.statuses[code];
  return { code: grpcCode(status), message: fulcioMessage(status, code) };
}

function fulcioMessage(status: number, code: FailureCode | null): string {
  return (code === null ? undefined : fulcioMessages[code]) ?? refusalText(status);
}

/** https://github.com/grpc-ecosystem/grpc-gateway `runtime.HTTPStatusFromCode`, the other way round. */
function grpcCode(status: number): number {
  switch (status) {
    case 403:
      return 7;
    case 404:
      return 5;
    case 429:
      return 8;
    case 405:
    case 501:
      return 12;
    case 500:
      return 13;
    case 503:
      return 14;
    case 504:
      return 4;
    default:
      return 3;
  }
}

/** Entries of a log that has ended: reading them goes on. */
const frozenMessage = "the log is frozen and takes no more entries";

/** Rekor v1: `{code, message}`, and nothing at all for 404. */
export const rekorFamily: Family = {
  crossOrigin: true,
  statuses: { ...statuses, "log-frozen": 405 },
  word(status, code) {
    if (status === 404) return { status, contentType: "application/json", body: "" };
    const message = (code === null ? undefined : rekorMessages[code]) ?? refusalText(status);
    return { ...json({ code: status, message }, status), ...notAllowed(code, "GET") };
  },
};

const rekorMessages: { readonly [Code in FailureCode]?: string } = {
  malformed: "the request could not be parsed",
  "entry-unsupported":
    "entries of this kind and version are not accepted, only hashedrekord, dsse, intoto, and rekord by a certificate or key",
  "signature-invalid": "the signature does not verify",
  "key-malformed": "the verifier could not be parsed",
  "key-insecure": "the verifier is not of an accepted kind",
  "out-of-range": "the requested size lies outside the tree",
  "log-frozen": frozenMessage,
};

/** RFC 9110 §15.5.6: a 405 says what is allowed. */
function notAllowed(code: FailureCode | null, allow: string): Partial<Answered> {
  return code === "log-frozen" ? { headers: { allow } } : {};
}

/** Timestamps (`timestamp-authority:openapi.yaml`): `{code, message}`. */
export const timestampFamily: Family = {
  crossOrigin: true,
  statuses,
  word: (status) => json({ code: status, message: refusalText(status) }, status),
};

/** Search, an API of our own: `{code, message}`. */
export const searchFamily: Family = {
  crossOrigin: true,
  statuses,
  word: (status, code) =>
    json({ code: status, message: (code && searchMessages[code]) ?? refusalText(status) }, status),
};

const searchMessages: { readonly [Code in FailureCode]?: string } = {
  malformed: "the search could not be parsed, see the OpenAPI document",
  "not-found": "there is no such log",
  overloaded: "the index is not available just now, try again later",
};

/** Rekor v2: grpc-gateway bodies, with the messages of `rekor-tiles:internal/server`. */
export const rekorV2Family: Family = {
  crossOrigin: true,
  statuses: { ...statuses, "log-frozen": 405 },
  word(status, code) {
    const message = (code === null ? undefined : rekorV2Messages[code]) ?? refusalText(status);
    return {
      ...json({ code: grpcCode(status), message, details: [] }, status),
      ...notAllowed(code, ""),
    };
  },
};

const rekorV2Messages: { readonly [Code in FailureCode]?: string } = {
  "log-frozen": frozenMessage,
  malformed: "invalid hashedrekord request",
  "entry-unsupported": "invalid type, must be hashedrekord",
  "signature-invalid": "invalid signature",
  "key-malformed": "invalid verifier",
  "key-insecure": "unsupported key details",
};

/** RFC 6962 and tlog-tiles: a line of text. */
export const textFamily: Family = {
  crossOrigin: true,
  statuses,
  word: (status) => text(status),
};

/** RFC 6749 §5.2: `{error}`. Nothing in a page has the admin secret: who shows another is no client, who names no account has no grant. */
export const oauthFamily: Family = {
  crossOrigin: false,
  statuses: { ...statuses, "access-denied": 401, "policy-refused": 400 },
  word(status, code) {
    const error =
      (code && oauthErrors[code]) ?? (status < 500 ? "invalid_request" : "server_error");
    return {
      ...json({ error, error_description: refusalText(status) }, status),
      headers: {
        "cache-control": "no-store",
        ...(status === 401 && { "www-authenticate": "Bearer" }),
      },
    };
  },
};

const oauthErrors: { readonly [Code in FailureCode]?: string } = {
  "access-denied": "invalid_client",
  "policy-refused": "invalid_grant",
};

function text(status: number): Answered {
  return { status, contentType: "text/plain; charset=utf-8", body: `${refusalText(status)}\n` };
}
