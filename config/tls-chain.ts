/** Certificates as an operator hands them over: what of a file is one, and whether clients that trust an authority take them. */
import { X509Certificate } from "node:crypto";
import { formatPem, parsePem } from "../core/formats/pem.ts";
import { CommandError, exitCodes } from "../plugins/client/commands.ts";

const [begin, end] = ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"];

/** The certificate of a server, and what is above it. */
export type Chain = readonly [X509Certificate, ...X509Certificate[]];

/**
 * The certificates in `text`, whatever else stands there: a key, or remarks.
 *
 * @throws {CommandError} if there is none, or one of them is damaged.
 */
export function readChain(what: string, text: string): Chain {
  const [, ...parts] = text.split(begin);
  const [first, ...others] = parts.map((part, index) => {
    const endAt = part.indexOf(end);
    try {
      const block = endAt < 0 ? begin : begin + part.slice(0, endAt) + end;
      return new X509Certificate(parsePem(block, "CERTIFICATE"));
    } catch (cause) {
      const message = `the ${what} cannot be read: CERTIFICATE block ${index + 1} is damaged`;
      throw new CommandError(exitCodes.failed, message, { cause });
    }
  });
  if (first !== undefined) return [first, ...others];
  throw new CommandError(exitCodes.failed, `the ${what} cannot be read: it must be PEM`);
}

/** The certificates and nothing else. */
export function formatChain(chain: Chain): string {
  return chain.map(({ raw }) => formatPem("CERTIFICATE", raw)).join("");
}

/** @throws {CommandError} unless the server's certificate holds at this time. */
export function requireInForce({ validFromDate, validToDate }: X509Certificate, at: Date): void {
  if (validToDate <= at) {
    const message = `the certificate ended on ${validToDate.toISOString()}`;
    throw new CommandError(exitCodes.failed, message);
  }
  if (validFromDate > at) {
    const message = `the certificate is not valid before ${validFromDate.toISOString()}`;
    throw new CommandError(exitCodes.failed, message);
  }
}

/** @throws {CommandError} unless one of `authorities` is what the chain leads up to, each by the signature of the next. */
export function requireUnder([leaf, ...above]: Chain, authorities: Chain, at: Date): void {
  let reached = leaf;
  for (const _ of [leaf, ...above]) {
    const from = reached;
    if (authorities.some((one) => one.raw.equals(from.raw) || hasIssued(one, from, at))) return;
    const next = above.find((one) => !one.raw.equals(from.raw) && hasIssued(one, from, at));
    if (next === undefined) break;
    reached = next;
  }
  throw new CommandError(
    exitCodes.failed,
    `the authority is not that of the certificate: ${onOneLine(reached.issuer)} is needed, valid now, in one of the two files`,
  );
}

/**
 * The one of `authorities` whose key signed the certificate and which signed itself, for the very same term: both were made at one
 * stroke. One that goes on certifying has a term of its own. Undefined if there is none, or what stands there is damaged.
 */
export function madeTogether(
  certificate: X509Certificate,
  authorities: string,
): X509Certificate | undefined {
  const { validFrom, validTo } = certificate;
  return chainIn(authorities).find(
    (one) =>
      one.validFrom === validFrom &&
      one.validTo === validTo &&
      one.verify(one.publicKey) &&
      certificate.checkIssued(one) &&
      certificate.verify(one.publicKey),
  );
}

function chainIn(text: string): readonly X509Certificate[] {
  try {
    return readChain("authority", text);
  } catch (thrown) {
    if (!(thrown instanceof CommandError)) throw thrown;
    return [];
  }
}

function hasIssued(authority: X509Certificate, certificate: X509Certificate, at: Date): boolean {
  return (
    authority.ca &&
    authority.validFromDate <= at &&
    authority.validToDate > at &&
    certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey)
  );
}

/** A name as Node gives it, one attribute a line. */
export function onOneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}
