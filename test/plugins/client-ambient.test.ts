/** Tokens that pipelines offer, from fakes that hold callers to what the real ones demand. */
import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findAmbientToken } from "../../plugins/client/ambient.ts";
import { chooseIdToken } from "../../plugins/client/id-token.ts";
import { keepToken } from "../../plugins/client/kept-token.ts";
import type { Terminal } from "../../plugins/client/terminal.ts";
import { boxToken } from "../support/box-services.ts";

const token = boxToken({ sub: "repo:acme/app:ref:refs/heads/main" });
const runnerSecret = "runner-secret";
const agentSecret = "agent-secret";
let folder = "";
/** A runner's token service, as GitHub documents it. */
const runner = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost");
  const good =
    request.method === "GET" &&
    url.pathname === "/run/1/token" &&
    url.searchParams.get("api-version") === "2.0" &&
    request.headers.authorization === `Bearer ${runnerSecret}`;
  const audiences = url.searchParams.getAll("audience");
  if (!good || audiences.length !== 1) {
    response.writeHead(good ? 400 : 401).end("{}");
    return;
  }
  const value = audiences[0] === "sigstore" ? token : boxToken({ sub: String(audiences[0]) });
  response.end(JSON.stringify({ count: 1, value: audiences[0] === "none" ? "" : value }));
});
let runnerUrl = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "chancery-ambient-"));
  runner.listen(0, "127.0.0.1");
  await once(runner, "listening");
  const { port } = runner.address() as AddressInfo; // it listens on a port
  runnerUrl = `http://127.0.0.1:${port}/run/1/token?api-version=2.0`;
  await writeFile(join(folder, "token"), `${token}\n`);
  // Agents refuse what they do not know, and without the job's credentials say nothing.
  const agent = `#!/bin/sh
[ "$BUILDKITE_AGENT_ACCESS_TOKEN" = ${agentSecret} ] || { echo "bad token $BUILDKITE_AGENT_ACCESS_TOKEN" >&2; exit 1; }
[ "$*" = "oidc request-token --audience sigstore" ] || { echo "usage" >&2; exit 2; }
echo ${token}
`;
  await writeFile(join(folder, "buildkite-agent"), agent);
  await chmod(join(folder, "buildkite-agent"), 0o755);
  // The file as Kubernetes projects it: by way of links that it swaps.
  await symlink("token", join(folder, "projected"));
});

afterAll(async () => {
  runner.closeAllConnections();
  runner.close();
  await rm(folder, { recursive: true });
});

const github = () => ({
  GITHUB_ACTIONS: "true",
  ACTIONS_ID_TOKEN_REQUEST_URL: runnerUrl,
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: runnerSecret,
});
const buildkite = () => ({
  PATH: `${folder}:/usr/bin:/bin`,
  BUILDKITE_AGENT_ACCESS_TOKEN: agentSecret,
});

function terminal(environment: { readonly [name: string]: string }): Terminal & { said: string[] } {
  const said: string[] = [];
  return {
    environment,
    folder,
    said,
    print: (line) => said.push(line),
    complain: (line) => said.push(line),
    readInput: async () => await Promise.resolve(new Uint8Array()),
  };
}

test.for<[string, () => { readonly [name: string]: string }]>([
  ["SIGSTORE_ID_TOKEN", () => ({ SIGSTORE_ID_TOKEN: token })],
  // GitLab fills the variable that the job names.
  ["SIGSTORE_ID_TOKEN", () => ({ GITLAB_CI: "true", SIGSTORE_ID_TOKEN: token })],
  ["GitHub Actions", github],
  ["Buildkite", buildkite],
  ["CHANCERY_ID_TOKEN_FILE", () => ({ CHANCERY_ID_TOKEN_FILE: "projected" })],
  // What is set on purpose wins over what is merely there.
  ["CHANCERY_ID_TOKEN_FILE", () => ({ ...github(), CHANCERY_ID_TOKEN_FILE: "token" })],
])("finds the token of %s", async ([source, environment]) => {
  const found = await findAmbientToken("sigstore", terminal(environment()));
  expect(found?.text.trim()).toBe(token);
  expect(found?.source).toBe(source);
});

test("asks a pipeline for the audience that was wanted", async () => {
  const found = await findAmbientToken("https://other.example", terminal(github()));
  expect(found?.text).toBe(boxToken({ sub: "https://other.example" }));
});

test("finds nothing where there is nothing", async () => {
  expect(await findAmbientToken("sigstore", terminal({}))).toBeNull();
});

test.for<[string, () => { readonly [name: string]: string }, RegExp]>([
  ["a job without permission", () => ({ GITHUB_ACTIONS: "true" }), /id-token: write/],
  [
    "a runner that refuses",
    () => ({ ...github(), ACTIONS_ID_TOKEN_REQUEST_TOKEN: "another" }),
    /refused \(401\)/,
  ],
  [
    "a runner's address that all could read",
    () => ({ ...github(), ACTIONS_ID_TOKEN_REQUEST_URL: "http://runner.example/token" }),
    /not an https URL/,
  ],
  ["a GitLab job without id_tokens", () => ({ GITLAB_CI: "true" }), /id_tokens.*SIGSTORE_ID_TOKEN/],
  [
    "an agent without the job's credentials",
    () => ({ ...buildkite(), BUILDKITE_AGENT_ACCESS_TOKEN: "stolen" }),
    /buildkite-agent/,
  ],
  ["a file that is not there", () => ({ CHANCERY_ID_TOKEN_FILE: "gone" }), /cannot be read/],
])("says what to do about %s, without a secret", async ([, environment, words]) => {
  const thrown: unknown = await findAmbientToken("sigstore", terminal(environment())).catch(
    (error: unknown) => error,
  );
  expect(String(thrown)).toMatch(words);
  for (const secret of [runnerSecret, agentSecret, "stolen"]) {
    expect(String(thrown)).not.toContain(secret);
  }
});

test("an answer without a token is said to be one", async () => {
  await expect(findAmbientToken("none", terminal(github()))).rejects.toThrow(/without one/);
});

const instance = { id: "i", origin: "http://localhost:1", treeId: "1", createdAt: "" };

test("a kept token serves until shortly before its end", async () => {
  const own = terminal({ XDG_RUNTIME_DIR: folder });
  const lasting = (seconds: number) =>
    boxToken({ sub: "kept", exp: Math.floor(Date.now() / 1_000) + seconds } as never);
  const path = await keepToken("http://localhost:1/oidc", lasting(60), own);
  expect(path.startsWith(folder)).toBe(true);
  expect(await chooseIdToken(instance, own)).toMatchObject({ challenge: "kept" });
  await keepToken("http://localhost:1/oidc", lasting(5), own);
  await expect(chooseIdToken(instance, own)).rejects.toThrow(/no identity token/);
});

test("names what is not a token by where it came from", async () => {
  const own = terminal({ SIGSTORE_ID_TOKEN: "not a token" });
  await expect(chooseIdToken(instance, own)).rejects.toThrow(/SIGSTORE_ID_TOKEN/);
});
