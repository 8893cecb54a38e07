/**
 * Fulcio's REST API: v2, and v1 for cosign 2 and gitsign (`fulcio:fulcio.proto`, `fulcio_legacy.proto`, `pkg/server/legacy_server.go`).
 * `Accept` is not looked at, because clients ask for what they do not read.
 */
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { formatPemBlock } from "../../core/formats/pem.ts";
import type { AnswerOf } from "../../events/contract.ts";
import type { addChain } from "../../events/ct.ts";
import { listIssuers } from "../../events/identity.ts";
import { issueCertificate, trustBundle } from "../../events/issuer.ts";
import { fulcioFamily as family } from "./families.ts";
import { parseLegacyRequest, parseRequest } from "./fulcio-request.ts";
import { type Answered, json, type Put, type Route } from "./route.ts";

/** Fulcio's own limit; what is larger than any request for a certificate is refused without a look. */
const body = { mediaType: "application/json", maxBytes: 4_194_304 };

/** The routes of Fulcio, both versions. */
export function fulcioRoutes(ask: Put): readonly Route[] {
  return [...versionTwo(ask), ...versionOne(ask)];
}

function versionTwo(ask: Put): readonly Route[] {
  const format = chainFormatter();
  return [
    {
      method: "POST",
      path: "/api/v2/signingCert",
      family,
      body,
      // No asynchronous function: it would be kept, with the request's body, as long as the request is under way.
      handle: ({ authorization, body: bytes, network }) =>
        ask(issueCertificate, { ...parseRequest(bytes, authorization), network }).then((issued) =>
          json(signingCertificateJson(issued, format(issued.chain))),
        ),
    },
    {
      method: "GET",
      path: "/api/v2/trustBundle",
      family,
      async handle() {
        const { chains } = await ask(trustBundle, {});
        return json({ chains: chains.map((chain) => ({ certificates: formatChain(chain) })) });
      },
    },
    {
      method: "GET",
      path: "/api/v2/configuration",
      family,
      async handle() {
        const { issuers } = await ask(listIssuers, {});
        return json({ issuers: issuers.map(describeIssuer) });
      },
    },
  ];
}

function versionOne(ask: Put): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/api/v1/signingCert",
      family,
      body,
      async handle({ authorization, body: bytes, network }) {
        const question = parseLegacyRequest(bytes, authorization);
        const { chain, detachedSct } = await ask(issueCertificate, { ...question, network });
        const sct = detachedSct && encodeBase64(encodeUtf8(addChainResponse(detachedSct)));
        return { ...pemChain(chain), status: 201, ...(sct !== undefined && { headers: { sct } }) };
      },
    },
    {
      method: "GET",
      path: "/api/v1/rootCert",
      family,
      async handle() {
        const { chains } = await ask(trustBundle, {});
        return pemChain(chains.flat());
      },
    },
  ];
}

/** Certificates without final newlines, as Fulcio answers. */
export function formatChain(chain: readonly Uint8Array[]): readonly string[] {
  return chain.map((der) => formatPemBlock("CERTIFICATE", der));
}

/** As {@link formatChain}; those above the leaf, which come with every one of them, are written once. */
function chainFormatter(): typeof formatChain {
  const written = new WeakMap<Uint8Array, string>();
  return ([leaf, ...above]) => {
    const texts = leaf === undefined ? [] : [formatPemBlock("CERTIFICATE", leaf)];
    for (const der of above) {
      const text = written.get(der) ?? formatPemBlock("CERTIFICATE", der);
      written.set(der, text);
      texts.push(text);
    }
    return texts;
  };
}

/** What RFC 6962 §4.1 answers, which Fulcio passes on in base64. */
export function addChainResponse(sct: AnswerOf<typeof addChain>): string {
  return JSON.stringify({
    sct_version: 0,
    id: encodeBase64(sct.logId),
    timestamp: Number(sct.timestampMs),
    extensions: encodeBase64(sct.extensions),
    signature: encodeBase64(sct.signature),
  });
}

/** An issuer with every member, also those that it does not have. */
export function describeIssuer(issuer: AnswerOf<typeof listIssuers>["issuers"][number]) {
  return { spiffeTrustDomain: "", subjectDomain: "", skipEmailVerification: false, ...issuer };
}

function signingCertificateJson(
  { detachedSct }: AnswerOf<typeof issueCertificate>,
  certificates: readonly string[],
): object {
  if (detachedSct === undefined)
    return { signedCertificateEmbeddedSct: { chain: { certificates } } };
  const signedCertificateTimestamp = encodeBase64(encodeUtf8(addChainResponse(detachedSct)));
  return { signedCertificateDetachedSct: { chain: { certificates }, signedCertificateTimestamp } };
}

function pemChain(chain: readonly Uint8Array[]): Answered {
  return {
    status: 200,
    contentType: "application/pem-certificate-chain",
    body: formatChain(chain).join("\n"),
  };
}
