/** Getting a timestamp: RFC 3161 over HTTP (§3.4), over the signature's bytes. */
import { createHash, randomBytes } from "node:crypto";
import { equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { SigningConfig } from "../../core/formats/signing-config.ts";
import { covers } from "../../core/formats/trusted-root.ts";
import { formatTimestampRequest } from "../../core/formats/tsp.ts";
import { parseTimestampResponse } from "../../core/formats/tsp-token.ts";
import { request } from "./remote.ts";
import { CommandError, exitCodes } from "./terminal.ts";

const what = "the timestamp";
const nonceBytes = 16;

/** The timestamp authority to ask: the first of the newest in use; null if there is none. */
export function chooseTimestampUrl(config: SigningConfig | null, now: Date): string | null {
  const usable = (config?.tsaUrls ?? []).filter(
    ({ majorApiVersion, validFor }) => majorApiVersion === 1 && covers(validFor, now),
  );
  const [newest] = usable.toSorted((a, b) => Number(b.validFor.start) - Number(a.validFor.start));
  return newest?.url ?? null;
}

/** A TimeStampResp for the signature; null without an authority. Whether it holds is seen when all is verified. @throws {CommandError} */
export async function requestTimestamp(
  url: string | null,
  signature: Uint8Array,
): Promise<Uint8Array | null> {
  if (url === null) return null;
  const messageImprint = createHash("sha256").update(signature).digest();
  const nonce = randomBytes(nonceBytes);
  // A leading zero would not come back: integers have none.
  nonce[0] = ((nonce[0] ?? 0) & 0x7f) | 0x40;
  const answer = await request({
    method: "POST",
    url,
    headers: { "content-type": "application/timestamp-query" },
    body: formatTimestampRequest({
      hashAlgorithm: "sha256",
      messageImprint,
      policy: null,
      nonce,
      certReq: true,
    }),
    what,
    accept: [200, 201],
  });
  try {
    const token = parseTimestampResponse(answer.body);
    // An answer to another question may be an old one.
    if (token.nonce === null || !equalBytes(token.nonce, nonce)) {
      throw new Malformed("it does not answer this request: the nonce differs");
    }
    return answer.body;
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new CommandError(exitCodes.failed, `the service's answer is broken: ${cause.message}`, {
      cause,
    });
  }
}
