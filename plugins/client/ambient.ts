/**
 * ID tokens that are there without anybody signing in: what a pipeline, a cluster or a file offers. Whoever is in
 * a pipeline that could offer one and does not is told what to change there.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import { readBounded } from "./files.ts";
import { jsonOf, request } from "./remote.ts";
import { CommandError, environmentError, exitCodes, type Terminal } from "./terminal.ts";

/** A token and where it came from. */
export interface AmbientToken {
  readonly text: string;
  readonly source: string;
}

/** Where cosign looks for a token that something else puts there. */
const wellKnownFile = "/var/run/sigstore/cosign/oidc-token";
const maxTokenBytes = 65_536;
const agentTimeoutMs = 30_000;

/**
 * The surroundings' token; null if they offer none.
 *
 * @throws {CommandError} if they promise one and do not keep it.
 */
export async function findAmbientToken(
  audience: string,
  terminal: Terminal,
): Promise<AmbientToken | null> {
  for (const source of sources) {
    const text = await source.find(audience, terminal);
    if (text !== null) return { text, source: source.name };
  }
  return null;
}

interface Source {
  readonly name: string;
  readonly find: (audience: string, terminal: Terminal) => Promise<string | null>;
}

/** What somebody has set on purpose comes before what is merely there. */
const sources: readonly Source[] = [
  { name: "CHANCERY_ID_TOKEN_FILE", find: fromConfiguredFile },
  { name: "SIGSTORE_ID_TOKEN", find: fromVariable },
  { name: "GitHub Actions", find: fromGitHub },
  { name: "GitLab", find: fromGitLab },
  { name: "Buildkite", find: fromBuildkite },
  { name: "the SPIFFE Workload API", find: fromSpiffe },
  { name: wellKnownFile, find: fromWellKnownFile },
];

async function fromVariable(_audience: string, { environment }: Terminal): Promise<string | null> {
  return await Promise.resolve(environment["SIGSTORE_ID_TOKEN"] || null);
}

/** https://docs.github.com/actions, "OpenID Connect reference": GET with the runner's own bearer token. */
async function fromGitHub(audience: string, { environment }: Terminal): Promise<string | null> {
  const url = environment["ACTIONS_ID_TOKEN_REQUEST_URL"];
  const bearer = environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
  if (!url || !bearer) {
    if (environment["GITHUB_ACTIONS"] !== "true") return null;
    throw environmentError(
      'this GitHub Actions job may not ask for an ID token; give it "permissions: { id-token: write }"',
    );
  }
  const what = "the ID token of GitHub Actions";
  const target = URL.parse(url);
  if (target === null || !isConfidential(target)) {
    throw environmentError(`${what}: ACTIONS_ID_TOKEN_REQUEST_URL is not an https URL`);
  }
  target.searchParams.set("audience", audience);
  const answer = await request({
    method: "GET",
    url: target.href,
    headers: { authorization: `Bearer ${bearer}`, accept: "application/json" },
    what,
    accept: [200],
  });
  const { value } = (jsonOf(answer, what) ?? {}) as { readonly [name: string]: JsonValue };
  if (typeof value === "string" && value !== "") return value;
  throw new CommandError(exitCodes.failed, `${what}: the runner answered without one`);
}

/** GitLab puts tokens into variables that the job names (`id_tokens`), so there is nothing to ask for. */
async function fromGitLab(audience: string, { environment }: Terminal): Promise<string | null> {
  if (environment["GITLAB_CI"] !== "true") return await Promise.resolve(null);
  throw environmentError(
    `this GitLab job has no ID token; give it "id_tokens: { SIGSTORE_ID_TOKEN: { aud: ${audience} } }"`,
  );
}

/** https://buildkite.com/docs/agent, "oidc": the agent asks for the job, with credentials that stay with it. */
async function fromBuildkite(audience: string, { environment }: Terminal): Promise<string | null> {
  if (!environment["BUILDKITE_AGENT_ACCESS_TOKEN"]) return null;
  try {
    const { stdout } = await promisify(execFile)(
      "buildkite-agent",
      ["oidc", "request-token", "--audience", audience],
      { env: { ...environment }, timeout: agentTimeoutMs, maxBuffer: maxTokenBytes },
    );
    return stdout.trim();
  } catch (cause) {
    // What the agent says may quote its credentials.
    throw environmentError(
      'the ID token of Buildkite: "buildkite-agent oidc request-token" failed; is it on the PATH?',
      cause,
    );
  }
}

/** The agent of a SPIFFE trust domain, such as SPIRE's, where the environment says that there is one. */
async function fromSpiffe(audience: string, { environment }: Terminal): Promise<string | null> {
  const endpoint = environment["SPIFFE_ENDPOINT_SOCKET"];
  if (!endpoint) return null;
  // The protocol is loaded by those who have an agent, and by nobody else.
  const { fetchJwtSvid } = await import("./workload-api.ts");
  return await fetchJwtSvid(endpoint, audience);
}

/** A file that Kubernetes projects (a `serviceAccountToken` volume) or spiffe-helper writes (a JWT-SVID). */
async function fromConfiguredFile(_audience: string, terminal: Terminal): Promise<string | null> {
  const path = terminal.environment["CHANCERY_ID_TOKEN_FILE"];
  return path ? await fromFile(resolve(terminal.folder, path)) : null;
}

async function fromWellKnownFile(): Promise<string | null> {
  return existsSync(wellKnownFile) ? await fromFile(wellKnownFile) : null;
}

async function fromFile(path: string): Promise<string> {
  return decodeUtf8(await readBounded(path, "the identity token", maxTokenBytes));
}

/** True if what is sent there can be read by nobody else. */
function isConfidential({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}
