/** Fulcio's REST API, v2 (`fulcio:fulcio.proto`). Unknown members are ignored and `Accept` is not looked at, as Fulcio does. */
import { decodeBase64, decodeUtf8 } from "../../core/formats/encoding.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem, parsePem } from "../../core/formats/pem.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import { listIssuers } from "../../events/identity.ts";
import { issueCertificate, trustBundle } from "../../events/issuer.ts";
import { type Members, members, parseMembers } from "./body.ts";
import { fulcioFamily as family } from "./families.ts";
import { json, type Put, type Route } from "./route.ts";

const maxBodyBytes = 262_144;
const maxTokenLength = 16_384;
const maxKeyLength = 16_384;

/** The routes of Fulcio v2. */
export function fulcioRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/api/v2/signingCert",
      family,
      body: { mediaType: "application/json", maxBytes: maxBodyBytes },
      async handle({ authorization, body, network }) {
        const request = parseRequest(body, authorization);
        const { chain } = await ask(issueCertificate, { ...request, network });
        return json({
          signedCertificateEmbeddedSct: { chain: { certificates: formatChain(chain) } },
        });
      },
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
        return json({
          issuers: issuers.map((issuer) => ({
            ...issuer,
            spiffeTrustDomain: "",
            subjectDomain: "",
            skipEmailVerification: false,
          })),
        });
      },
    },
  ];
}

function parseRequest(
  body: Uint8Array,
  authorization: string | undefined,
): QuestionOf<typeof issueCertificate> {
  const request = parseMembers(body);
  const idToken = readToken(request, authorization);
  const key = request["publicKeyRequest"] ?? null;
  const csr = request["certificateSigningRequest"] ?? null;
  if ((key === null || key === "") === (csr === null || csr === "")) {
    throw new Malformed("fulcio: expected either a public key or a certificate signing request");
  }
  if (typeof csr === "string" && csr !== "") return { idToken, proof: readCsr(csr) };
  const { publicKey = null, proofOfPossession = null } = members(key);
  return { idToken, proof: readKey(members(publicKey)["content"], proofOfPossession) };
}

/** From the body or the bearer header; from both only if they agree. */
function readToken(request: Members, authorization: string | undefined): string {
  const credentials = request["credentials"] ?? null;
  const inBody = credentials === null ? null : (members(credentials)["oidcIdentityToken"] ?? null);
  const inHeader = authorization === undefined ? null : readBearer(authorization);
  const token = inBody === null || inBody === "" ? inHeader : inBody;
  const agreed = inHeader === null || inHeader === token;
  if (typeof token !== "string" || token === "" || token.length > maxTokenLength || !agreed) {
    throw new Failure("identity-rejected", "no token, or two");
  }
  return token;
}

function readBearer(authorization: string): string {
  const token = /^bearer +([!-~]+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw new Failure("identity-rejected", "not a bearer token");
  return token;
}

function readCsr(text: string) {
  const der = refusing("request-malformed", () =>
    parsePem(decodeUtf8(decodeBase64(text)), "CERTIFICATE REQUEST"),
  );
  return { kind: "request" as const, request: der };
}

function readKey(content: JsonValue | undefined, proof: JsonValue) {
  const publicKey = refusing("key-malformed", () => {
    if (typeof content !== "string" || content.length > maxKeyLength)
      throw new Malformed("fulcio: no key");
    return parsePem(content, "PUBLIC KEY");
  });
  const possession = refusing("possession-unproven", () => {
    if (typeof proof !== "string" || proof === "")
      throw new Malformed("fulcio: no proof of possession");
    return decodeBase64(proof);
  });
  return { kind: "possession" as const, publicKey, possession };
}

/** What is malformed inside gets the code the API has for it. */
function refusing<T>(code: FailureCode, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new Failure(code, thrown.message, { cause: thrown });
  }
}

/** Without final newlines, as Fulcio answers. */
function formatChain(chain: readonly Uint8Array[]): readonly string[] {
  return chain.map((der) => formatPem("CERTIFICATE", der).trimEnd());
}
