/**
 * The OpenID provider (OpenID Connect Core 1.0). Its documents and the demo grant are answered here, over the bus; people sign in
 * behind a UNIX socket that the door passes requests on to, and what serves them is loaded when the first one comes.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Context, emit, type Emitted, StartRefused } from "../../core/plugin.ts";
import { isEmailAddress } from "../../core/formats/email.ts";
import { decodeUtf8, encodeBase64Url } from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { rsaJwk } from "../../core/formats/jwk.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { describeKey, sign } from "../../events/hsm.ts";
import { Failure } from "../../events/failure.ts";
import { idTokenIssued, type issueDemoToken } from "../../events/idp.ts";
import { accountReader } from "./accounts.ts";
import { discoveryDocument } from "./discovery.ts";
import { idp } from "./manifest.ts";
import { createPeople, digest } from "./people.ts";
import { countSignInsIn, type SignInRefusals } from "./refusals.ts";
import { listenLocally, type Serve } from "./server.ts";
import type { SignClaims } from "./vault-key.ts";

type IdpContext = Context<
  typeof idp.manifest.config,
  typeof idp.manifest.needs,
  typeof idp.manifest.emits
>;

const lifetimeSeconds = 600;
const minSecretLength = 32;

export default idp.implement(async (context) => {
  const { ask, clock, config, home, journal } = context;
  const adminDigest = digest(await readSecret(join(home(), config.adminSecretFile)));
  const demo = config.accounts.length > 0;
  const discovery = JSON.stringify(discoveryDocument(config.issuer, demo));
  let jwks: string | null = null;
  if (demo) {
    journal.warn("DEMO ACCOUNTS ARE ON: whoever holds the admin secret may be anybody listed", {
      issuer: config.issuer,
      accounts: config.accounts === "any" ? "any" : config.accounts.length,
    });
  }
  const store = await context.stores.open();
  const signClaims = signerOf(context, async (facts) => {
    await store.commit({ facts });
  });
  const refusals = countSignInsIn(store, { clock, oidcIssuer: config.issuer });
  const parts = { adminDigest, signClaims, refusals };
  const socket = await listenLocally(home(), serving(context, parts), (error) =>
    journal.error("sign-in-failed", { cause: error instanceof Error ? error.stack : "unknown" }),
  );

  return {
    handlers: {
      async describeProvider() {
        // The key cannot change while its vault runs, so it is asked for once.
        jwks ??= JSON.stringify({
          keys: [rsaJwk((await ask(describeKey, { key: config.key })).publicKey)],
        });
        return { discovery, jwks };
      },
      async issueDemoToken(question) {
        const { email, audience, network = "unknown" } = question;
        const why = refusalOf(question, adminDigest, config.accounts);
        if (why !== null) {
          refusals.count({ code: why.code, reason: why.message, from: { network } });
          throw why;
        }
        const issuedAt = Math.floor(clock.now().getTime() / 1_000);
        const claims = JSON.stringify({
          iss: config.issuer,
          sub: `demo:${email}`,
          aud: audience,
          iat: issuedAt,
          exp: issuedAt + lifetimeSeconds,
          email,
          email_verified: true,
          demo_account: true,
        });
        const { signed, signature } = await signClaims(claims);
        journal.warn("demo-token-issued", { email, audience });
        return { idToken: `${decodeUtf8(signed)}.${encodeBase64Url(signature)}` };
      },
    },
    async [Symbol.asyncDispose]() {
      await socket[Symbol.asyncDispose]();
      await refusals[Symbol.asyncDispose]();
    },
  };
});

/** Why the demo grant is not given; null if it is. */
function refusalOf(
  { adminSecret, email, audience }: QuestionOf<typeof issueDemoToken>,
  adminDigest: Uint8Array,
  accounts: IdpContext["config"]["accounts"],
): Failure | null {
  // Where no secret opens anything, it does not matter which is shown.
  if (accounts.length === 0) return new Failure("policy-refused", noSuchAccount);
  if (!timingSafeEqual(digest(adminSecret.trim()), adminDigest)) {
    return new Failure("access-denied", "the admin secret is not this home's");
  }
  if (!isEmailAddress(email)) return new Failure("malformed", "not an e-mail address");
  if (!/^[!-~]{1,256}$/.test(audience)) return new Failure("malformed", "not an audience");
  if (accounts === "any" || accounts.includes(email)) return null;
  return new Failure("policy-refused", noSuchAccount);
}

const noSuchAccount = "there is no such demo account";

/** What of the plugin the sign-in behind the socket is made with. */
interface Behind {
  readonly adminDigest: Uint8Array;
  readonly signClaims: SignClaims;
  readonly refusals: SignInRefusals;
}

type Keep = (facts: readonly Emitted<typeof idTokenIssued>[]) => Promise<void>;

/** Has the vault sign claims, and has it on record before the token is given out. */
function signerOf({ ask, config, clock, journal }: IdpContext, keep: Keep): SignClaims {
  return async (claims) => {
    const { signatures, signed } = await ask(sign, {
      key: config.key,
      signable: { purpose: "idToken", claims },
    });
    const [signature] = signatures;
    if (signature === undefined || signed === undefined) {
      throw new Failure("internal", "the vault answered without a signed token");
    }
    const token = `${decodeUtf8(signed)}.${encodeBase64Url(signature)}`;
    const tokenDigest = new Uint8Array(createHash("sha256").update(token).digest());
    const issuedAtMs = BigInt(clock.now().getTime());
    const told = { tokenDigest, issuedAtMs, ...describeClaims(claims, config.upstream?.issuer) };
    await keep([emit(idTokenIssued, told)]);
    journal.info("id-token-signed", {});
    return { signed, signature };
  };
}

/** Who the claims are about, and by whose word. They are our own. */
function describeClaims(text: string, upstream: string | undefined) {
  const claims = parseJson(text) as { readonly [name: string]: unknown }; // an object, by whoever made it
  const { iss, sub, aud, email } = claims;
  const about = {
    oidcIssuer: String(iss),
    subject: String(sub),
    audience: String(aud),
    ...(typeof email === "string" && { email }),
  };
  if (claims["demo_account"] === true) return { ...about, by: "admin-secret" as const };
  if (claims["federated_claims"] === undefined) return { ...about, by: "account" as const };
  return { ...about, by: "upstream" as const, ...(upstream !== undefined && { upstream }) };
}

/** Serves the socket's requests, each with the trace that the door gave it. */
function serving(context: IdpContext, behind: Behind): Serve {
  let loaded: Promise<Serve> | null = null;
  return async (request, response) => {
    loaded ??= load(context, behind).catch((error: unknown) => {
      // The vault may be back for the next one.
      loaded = null;
      throw error;
    });
    const serve = await loaded;
    const { traceparent } = request.headers;
    const part = context.trace(typeof traceparent === "string" ? traceparent : undefined);
    try {
      await part.run(serve, request, response);
    } finally {
      part.end();
    }
  };
}

async function load(
  context: IdpContext,
  { adminDigest, signClaims, refusals }: Behind,
): Promise<Serve> {
  const { ask, clock, config, fetch, home, journal } = context;
  const { createSignIn } = await import("./sign-in.ts");
  const { publicKey } = await ask(describeKey, { key: config.key });
  const { accounts: demoAccounts, upstream } = config;
  const accounts = accountReader(home());
  const nowMs = () => clock.now().getTime();
  const demo = demoAccounts.length > 0;
  const setting = {
    issuer: config.issuer,
    demo,
    upstreamName: upstream?.name ?? null,
  };
  const steadyMs = () => performance.now();
  const people = createPeople({
    demo: demoAccounts,
    adminDigest,
    accounts,
    nowMs: steadyMs,
    journal,
    refused: refusals.count,
  });
  const parts = {
    config,
    setting,
    people,
    publicKey,
    signClaims,
    journal,
    nowMs,
    refused: refusals.count,
  };
  if (upstream === undefined) return createSignIn({ ...parts, upstream: null });
  const { clientSecretFile: file } = upstream;
  const clientSecret =
    file === undefined ? null : (await readFile(join(home(), file), "utf8")).trim();
  return createSignIn({
    ...parts,
    upstream: { upstream, clientSecret, fetch, journal, nowMs: steadyMs },
  });
}

/** @throws {StartRefused} if there is none that could be a secret */
async function readSecret(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new StartRefused(`the admin secret in ${path} cannot be read (${cause.code})`, { cause });
  });
  const secret = text.trim();
  if (secret.length >= minSecretLength) return secret;
  const least = `shorter than ${minSecretLength} characters`;
  throw new StartRefused(`the admin secret in ${path} is ${least}`);
}
