/** The sign-in alone, behind its socket, with a browser that keeps cookies and says what it is told to say. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as connect, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createFetch } from "../../core/fetch.ts";
import { decode } from "../../core/wire.ts";
import idp from "../../plugins/idp/plugin.ts";
import { bootForTest, silentJournal, type TestInstallation } from "./boot.ts";
import { idTokenVault } from "./id-token-vault.ts";

/** The issuer under test. */
export const issuer = "http://localhost:8420/oidc";
/** Opens every demo account. */
export const adminSecret = "0123456789abcdef0123456789abcdef";
/** Where the client of {@link SignIn.begin} waits. */
export const redirectUri = "http://localhost:45678/auth/callback";

/** What came back. */
export interface Seen {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Where it leads, absolute; empty if nowhere. */
  readonly location: string;
}

/** A browser. */
export interface Visitor {
  get(path: string, headers?: { readonly [name: string]: string }): Promise<Seen>;
  post(
    path: string,
    form: { readonly [name: string]: string },
    headers?: { readonly [name: string]: string },
  ): Promise<Seen>;
  /** Sends the form of a page, with these fields filled in. */
  submit(page: Seen, fields: { readonly [name: string]: string }): Promise<Seen>;
  /** Follows redirects as long as they lead to the sign-in. */
  follow(seen: Seen): Promise<Seen>;
  readonly cookies: Map<string, string>;
}

/** A running sign-in. */
export interface SignIn extends AsyncDisposable {
  readonly home: string;
  readonly signed: readonly string[];
  /** Refusals as they are on record: all of them once the sign-in has been disposed of. */
  recorded(): Promise<readonly { readonly [name: string]: unknown }[]>;
  readonly told: { readonly event: string; readonly fields: unknown }[];
  visitor(): Visitor;
  /** Starts a code flow: the first page. `redeem` takes what the client got. */
  begin(
    visitor: Visitor,
    changes?: { readonly [name: string]: string | undefined },
  ): Promise<{
    readonly seen: Seen;
    readonly redeem: (code: string, changes?: { readonly [name: string]: string }) => Promise<Seen>;
  }>;
}

/** Boots it with demo accounts, unless `config` says otherwise. */
export async function bootSignIn(config: object = {}): Promise<SignIn> {
  const home = await mkdtemp(join(tmpdir(), "chancery-sign-in-"));
  await mkdir(join(home, "secrets"));
  await writeFile(join(home, "secrets", "admin"), `${adminSecret}\n`);
  await writeFile(join(home, "secrets", "upstream"), "upstream-secret\n");
  const { plugin, signed } = idTokenVault();
  const told: { event: string; fields: unknown }[] = [];
  const note = (event: string, fields: unknown = {}) => told.push({ event, fields });
  const installation = await bootForTest({
    entries: [idp, plugin],
    config: { idp: { issuer, accounts: "any", ...config }, hsm: {} },
    home,
    fetch: createFetch({ allowLoopback: true }),
    journal: () => ({ ...silentJournal, info: note, warn: note, error: note }),
  });
  const visitor = () => createVisitor(join(home, "run", "oidc.sock"));
  return {
    home,
    signed,
    told,
    visitor,
    recorded: async () => await recordedBy(installation),
    async begin(own, changes = {}) {
      const verifier = randomBytes(32).toString("base64url");
      const query = new URLSearchParams();
      const parameters = {
        response_type: "code",
        client_id: "sigstore",
        redirect_uri: redirectUri,
        scope: "openid email",
        state: "the-state",
        nonce: "the-nonce",
        code_challenge: createHash("sha256").update(verifier).digest("base64url"),
        code_challenge_method: "S256",
        ...changes,
      };
      for (const [name, value] of Object.entries(parameters)) {
        if (value !== undefined) query.set(name, value);
      }
      const seen = await own.follow(await own.get(`/oidc/auth?${query.toString()}`));
      const redeem = async (code: string, other = {}) =>
        await own.post("/oidc/token", {
          grant_type: "authorization_code",
          client_id: "sigstore",
          redirect_uri: redirectUri,
          code,
          code_verifier: verifier,
          ...other,
        });
      return { seen, redeem };
    },
    async [Symbol.asyncDispose]() {
      await installation.dispose();
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function recordedBy({ storage }: TestInstallation) {
  const reader = await storage.openReader("idp");
  const facts = await reader.read("facts", 0n, 10_000);
  // As facts are stored; only one of the two kinds has refusals.
  const bodies = facts.map(({ value }) => decode((decode(value) as { body: Uint8Array }).body));
  return bodies.flatMap(
    (body) =>
      (body as { refusals?: readonly { readonly [name: string]: unknown }[] }).refusals ?? [],
  );
}

/** The claims of a token, unverified. */
export function claimsIn(token: unknown): { readonly [name: string]: unknown } {
  const payload = String(token).split(".")[1] ?? "";
  return JSON.parse(Buffer.from(payload, "base64url").toString()) as { [name: string]: unknown };
}

function createVisitor(socketPath: string): Visitor {
  const cookies = new Map<string, string>();
  const send = async (
    method: string,
    path: string,
    headers: { readonly [name: string]: string },
    body = "",
  ): Promise<Seen> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const { promise, resolve, reject } = Promise.withResolvers<Seen>();
    const own = { accept: "text/html", ...(cookie !== "" && { cookie }), ...headers };
    const request = connect(
      { socketPath, method, path, headers: own, agent: false },
      (response) => {
        for (const line of response.headers["set-cookie"] ?? []) {
          const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
          if (value === "") cookies.delete(name);
          else cookies.set(name, value);
        }
        const { location = "" } = response.headers;
        text(response).then(
          (whole) =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: whole,
              location: location === "" ? "" : new URL(location, issuer).href,
            }),
          reject,
        );
      },
    );
    request.on("error", reject);
    request.end(body);
    return await promise;
  };
  const post: Visitor["post"] = async (path, form, headers = {}) => {
    const type = { "content-type": "application/x-www-form-urlencoded" };
    return await send("POST", path, { ...type, ...headers }, new URLSearchParams(form).toString());
  };
  return {
    cookies,
    get: async (path, headers = {}) => await send("GET", path, headers),
    post,
    async submit({ body }, fields) {
      const action = /<form[^>]* action="([^"]+)"/.exec(body)?.[1] ?? "";
      const marks = [...body.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)];
      const hidden = Object.fromEntries(marks.map(([, name = "", value = ""]) => [name, value]));
      return await post(new URL(action, issuer).pathname, { ...hidden, ...fields });
    },
    async follow(seen) {
      let last = seen;
      // Sequential: each answer says where the next request goes.
      while (last.location.startsWith(`${issuer}/`)) {
        last = await send("GET", last.location.slice(new URL(issuer).origin.length), {});
      }
      return last;
    },
  };
}
