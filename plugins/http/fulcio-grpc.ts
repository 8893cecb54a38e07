/** Fulcio's gRPC service, version 2 (`proto/fulcio.proto`): the asks of the REST API in the other spelling. */
import { createContextKey, type ServiceImpl } from "@connectrpc/connect";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { listIssuers } from "../../events/identity.ts";
import { issueCertificate, trustBundle } from "../../events/issuer.ts";
import { addChainResponse, describeIssuer, formatChain } from "./fulcio.ts";
import { type Question, questionOf } from "./fulcio-request.ts";
import type { CA, CreateSigningCertificateRequest } from "./proto/fulcio-messages.ts";
import type { Put } from "./route.ts";

/** The metadata that carries a token which is not in the message. */
const tokenKey = "oidcidentitytoken";
const none = new Uint8Array();

/** Where a call came from, as far as records go: an IPv4 /24 or an IPv6 /48. */
export const networkKey = createContextKey("unknown");

/** The service. */
export function fulcioService(ask: Put): ServiceImpl<typeof CA> {
  return {
    async createSigningCertificate(request, { requestHeader, values }) {
      const question = readQuestion(request, requestHeader.get(tokenKey) ?? undefined);
      const { chain, detachedSct } = await ask(issueCertificate, {
        ...question,
        network: values.get(networkKey),
      });
      const certificates = { certificates: [...formatChain(chain)] };
      if (detachedSct === undefined) {
        const value = { chain: certificates };
        return { certificate: { case: "signedCertificateEmbeddedSct", value } };
      }
      const signedCertificateTimestamp = encodeUtf8(addChainResponse(detachedSct));
      const value = { chain: certificates, signedCertificateTimestamp };
      return { certificate: { case: "signedCertificateDetachedSct", value } };
    },
    async getTrustBundle() {
      const { chains } = await ask(trustBundle, {});
      return { chains: chains.map((chain) => ({ certificates: [...formatChain(chain)] })) };
    },
    async getConfiguration() {
      const { issuers } = await ask(listIssuers, {});
      return {
        issuers: issuers.map((issuer) => {
          const { issuerUrl: value, ...rest } = describeIssuer(issuer);
          return { ...rest, issuer: { case: "issuerUrl", value } };
        }),
      };
    },
  };
}

function readQuestion(
  { credentials, key }: CreateSigningCertificateRequest,
  inHeader: string | undefined,
): Question {
  const keyRequest = key.case === "publicKeyRequest" ? key.value : null;
  const csr = key.case === "certificateSigningRequest" ? key.value : none;
  return questionOf({
    inBody: credentials?.credentials.value ?? "",
    inHeader,
    hasCsr: csr.length > 0,
    csr: () => csr,
    hasKey: keyRequest !== null,
    key: () => encodeUtf8(keyRequest?.publicKey?.content ?? ""),
    possession: () => keyRequest?.proofOfPossession ?? none,
  });
}
