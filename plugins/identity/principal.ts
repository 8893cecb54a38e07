/** From verified claims to the principal that goes into the certificate, by the provider's data. */
import { isEmailAddress } from "../../core/formats/email.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Principal } from "../../events/identity.ts";
import type { Claims } from "./id-token.ts";
import type { IssuerConfig } from "./manifest.ts";
import type { Provider } from "./provider.ts";

const maxSubjectLength = 2_048;
const maxExtensionLength = 1_024;

/** @throws {Malformed} with the reason. */
export function principalFrom(claims: Claims, issuer: IssuerConfig, provider: Provider): Principal {
  for (const name of provider.required) {
    if (claimText(claims, name) === null) throw new Malformed(`id token: no claim "${name}"`);
  }
  if (typeof claims["sub"] !== "string") throw new Malformed("id token: no subject");
  const subject = checkText(claims["sub"], maxSubjectLength);
  if (provider.emailVerified === true) checkEmailVerified(claims["email_verified"]);
  if (provider.subjectDomain === true) checkDomain(subject, issuer.subjectDomain);
  const fill = (template: string) => fillTemplate(template, claims, provider.defaults ?? {});
  const challenge = provider.challenge === "sub" ? subject : fill("email");
  const name = fill(provider.san.template);
  if (challenge === null || name === null) throw new Malformed("id token: names nobody");
  checkName(name, provider.san.kind);
  return {
    oidcIssuer: issuer.issuerUrl,
    subject,
    challenge: checkText(challenge, maxSubjectLength),
    san: { kind: provider.san.kind, value: name },
    extensions: provider.extensions.flatMap(({ arc, template }) => {
      const value = fill(template);
      return value === null ? [] : [{ arc, value: checkText(value, maxExtensionLength) }];
    }),
  };
}

/** True or the string "true", which some issuers write; nothing else counts as a yes. */
function checkEmailVerified(verified: Claims[string] | undefined): void {
  if (verified !== true && verified !== "true") {
    throw new Malformed("id token: the e-mail address is not verified");
  }
}

function checkDomain(subject: string, domain: string | undefined): void {
  if (domain === undefined || !URL.canParse(subject))
    throw new Malformed("id token: subject is not a URI");
  const { protocol, host, username, password } = new URL(subject);
  const allowed = new URL(domain);
  const plain = username === "" && password === "";
  if (
    !plain ||
    protocol !== allowed.protocol ||
    host !== allowed.host ||
    !subject.startsWith(`${protocol}//${host}`)
  ) {
    throw new Malformed("id token: subject lies outside the issuer's domain");
  }
}

/** rfc822Name and uniformResourceIdentifier are IA5Strings (RFC 5280 §4.2.1.6); the second must be a URI of RFC 3986 characters. */
function checkName(name: string, kind: Provider["san"]["kind"]): void {
  const fits =
    kind === "email"
      ? isEmailAddress(name)
      : name.length <= maxSubjectLength &&
        /^[a-z][a-z0-9+.-]*:\/\/(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$/.test(
          name,
        );
  if (!fits) throw new Malformed(`id token: the name is not an acceptable ${kind}`);
}

function fillTemplate(
  template: string,
  claims: Claims,
  defaults: { readonly [name: string]: string },
): string | null {
  const valueOf = (name: string) =>
    claimText(claims, name) ?? (Object.hasOwn(defaults, name) ? (defaults[name] ?? null) : null);
  if (!template.includes("{{")) return valueOf(template);
  const names = [...template.matchAll(/\{\{([a-z_]+)\}\}/g)].map((match) => match[1] ?? "");
  if (names.some((name) => valueOf(name) === null)) return null;
  // The replacement is a function: "$&" in a claim must stay "$&".
  return template.replaceAll(/\{\{([a-z_]+)\}\}/g, (_whole, name: string) => valueOf(name) ?? "");
}

/** A claim as text: null if it is absent or empty, and refused if its value cannot be exact. */
function claimText(claims: Claims, name: string): string | null {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (value === undefined || value === null || value === "") return null;
  if (typeof value === "string") return value;
  // Beyond 2^53 neighbouring numbers look alike: a number that may have been another one names nobody.
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  throw new Malformed(`id token: claim "${name}" is not text`);
}

/** Refuses text in which a reader could see something else than a machine compares. */
function checkText(text: string, maxLength: number): string {
  if (text.length === 0 || text.length > maxLength)
    throw new Malformed("id token: length of a claim");
  // \p{C}: controls, bidirectional and zero-width formatting, surrogates, private use, unassigned.
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(text) || text.trim() !== text || text.normalize("NFC") !== text) {
    throw new Malformed("id token: a claim has invisible or ambiguous characters");
  }
  return text;
}
