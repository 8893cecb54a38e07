/**
 * What Fulcio's REST API takes and gives, as JSON (`fulcio:fulcio.proto` and `fulcio_legacy.proto` in protojson): the one description
 * that requests are read with and that the OpenAPI document is made from. Members nobody knows are ignored, as Fulcio does.
 */
import * as v from "valibot";

const text = v.nullish(v.string());

const publicKey = v.looseObject({
  /** Not looked at: the key says what it is. */
  algorithm: v.nullish(v.string()),
  content: text,
});

/** `CreateSigningCertificateRequest`, version 2. */
export const certificateRequest = v.looseObject({
  credentials: v.nullish(v.looseObject({ oidcIdentityToken: text })),
  publicKeyRequest: v.nullish(
    v.looseObject({ publicKey: v.nullish(publicKey), proofOfPossession: text }),
  ),
  /** Base64 of a PKCS#10 request in PEM. */
  certificateSigningRequest: text,
});

/** `CreateSigningCertificateRequest`, version 1: a key in base64 (DER or PEM) and a signature over the e-mail address or subject. */
export const legacyCertificateRequest = v.looseObject({
  publicKey: v.nullish(publicKey),
  signedEmailAddress: text,
  certificateSigningRequest: text,
});

const chain = v.strictObject({ certificates: v.array(v.string()) });

/** `SigningCertificate`: with the SCT in the certificate, or beside it. */
export const signingCertificate = v.union([
  v.strictObject({ signedCertificateEmbeddedSct: v.strictObject({ chain }) }),
  v.strictObject({
    signedCertificateDetachedSct: v.strictObject({
      chain,
      /** Base64 of the JSON that RFC 6962 §4.1 answers. */
      signedCertificateTimestamp: v.string(),
    }),
  }),
]);

/** `TrustBundle`. */
export const trustBundleResponse = v.strictObject({ chains: v.array(chain) });

/** `Configuration`. */
export const configurationResponse = v.strictObject({
  issuers: v.array(
    v.looseObject({
      issuerUrl: v.optional(v.string()),
      wildcardIssuerUrl: v.optional(v.string()),
      audience: v.string(),
      challengeClaim: v.string(),
      spiffeTrustDomain: v.string(),
      issuerType: v.string(),
      subjectDomain: v.string(),
      skipEmailVerification: v.boolean(),
    }),
  ),
});

/** What grpc-gateway answers instead. */
export const gatewayError = v.strictObject({
  code: v.pipe(v.number(), v.integer()),
  message: v.string(),
  details: v.array(v.unknown()),
});
