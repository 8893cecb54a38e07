/** The timestamp authority (RFC 3161): that some bytes existed at a time, said by somebody who never saw them. */
import * as v from "valibot";
import { bytes, bytesUpTo } from "./bytes.ts";
import { ask } from "./contract.ts";

/** Longest request, of either form. */
export const maxTimestampRequestBytes = 16_384;

/** Stamps the digest in a request. What is wrong with a DER request is said in the response; a JSON request fails instead. */
export const createTimestamp = ask("timestamp", "createTimestamp", {
  question: v.strictObject({
    /** `query`: a TimeStampReq, DER. `json`: the JSON form of sigstore's timestamp authority. */
    form: v.picklist(["query", "json"]),
    request: bytesUpTo(maxTimestampRequestBytes),
  }),
  answer: v.strictObject({
    granted: v.boolean(),
    /** A TimeStampResp, DER; with a token exactly if it is granted. */
    response: bytes,
  }),
  failures: ["not-found", "time-unavailable", "key-unavailable"],
  deadlineMs: 10_000,
});

/** The authority's certificate first, its root last, each DER. */
export const timestampChain = ask("timestamp", "timestampChain", {
  question: v.strictObject({}),
  answer: v.strictObject({ certificates: v.array(bytes) }),
  failures: ["not-found"],
  deadlineMs: 5_000,
});
