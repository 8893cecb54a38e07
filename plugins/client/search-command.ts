/** `chancery search`. */
import { resolve } from "node:path";
import { encodeHex } from "../../core/formats/encoding.ts";
import { fulcioArcs } from "../../core/formats/fulcio-oids.ts";
import { type Arguments, optionalIndex, parseArguments } from "./arguments.ts";
import { readArtifact } from "./artifact-file.ts";
import { readInstance, readTrustedRoot } from "./home.ts";
import { fetchPage, type Hit, type Page, verifyPage } from "./search.ts";
import { type ExitCode, type Terminal, exitCodes, usageError } from "./terminal.ts";

const passedOn = ["log", "since", "until", "cursor", "facets"];
const isCondition = (arg: string): boolean => /^[a-z][a-z0-9.]*=/.test(arg);

/** Prints what is found; with `--json` a page a line, as the service gave it. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(
    args.filter((arg) => !isCondition(arg)),
    {
      operands: [],
      values: [...passedOn, "file", "limit"],
      switches: ["oldest", "all", "proof", "json"],
    },
  );
  const { origin } = await readInstance(terminal);
  const parameters = await parametersOf(parsed, args.filter(isCondition), terminal);
  const trustedRoot = parsed.has("proof") ? await readTrustedRoot(terminal, undefined) : null;
  let found = 0;
  // One page after the other: each begins where the one before ended.
  for (;;) {
    const page = await fetchPage(origin, parameters);
    if (trustedRoot !== null) verifyPage(page, trustedRoot);
    found += page.hits.length;
    for (const line of parsed.has("json") ? [JSON.stringify(page)] : render(page)) {
      terminal.print(line);
    }
    if (page.cursor === undefined) break;
    // A page without hits is one on which there were many entries to look at.
    if (!parsed.has("all") && found > 0) {
      if (!parsed.has("json")) terminal.complain(`there may be more: --cursor ${page.cursor}`);
      break;
    }
    parameters.set("cursor", page.cursor);
    parameters.delete("facets");
  }
  if (found === 0 && !parsed.has("json")) terminal.print("nothing found");
  return found === 0 ? exitCodes.failed : exitCodes.ok;
}

async function parametersOf(
  parsed: Arguments,
  conditions: readonly string[],
  terminal: Terminal,
): Promise<URLSearchParams> {
  const parameters = new URLSearchParams();
  const add = (name: string, value: string): void => {
    if (parameters.has(name)) throw usageError(`${name} is given twice`);
    parameters.set(name, value);
  };
  for (const one of conditions) {
    const equals = one.indexOf("=");
    add(one.slice(0, equals), one.slice(equals + 1));
  }
  const file = parsed.value("file");
  if (file !== undefined) {
    const artifact = await readArtifact(resolve(terminal.folder, file));
    add("digest", `sha256:${encodeHex(artifact.digest("sha256"))}`);
  }
  for (const name of passedOn) {
    const value = parsed.value(name);
    if (value !== undefined) add(name, value);
  }
  const limit = optionalIndex(parsed, "limit");
  if (limit !== undefined) {
    if (limit < 1n || limit > 100n) throw usageError("--limit is 1 to 100");
    add("limit", String(limit));
  }
  if (parsed.has("oldest")) add("order", "oldest");
  if (parsed.has("proof")) add("proof", "true");
  return parameters;
}

function render({ hits, counted }: Page): readonly string[] {
  const facets = Object.entries(counted?.facets ?? {}).flatMap(([field, values]) => [
    field,
    ...values.map(({ value, count }) => `${String(count).padStart(8)}  ${value}`),
  ]);
  const total = counted && [`${counted.exact ? "" : "at least "}${counted.total} entries`];
  return [...hits.map(line), ...(total ?? []), ...facets];
}

function line({ integratedTime, log, index, kind, signers, digests }: Hit): string {
  const [signer] = signers;
  const names = signer?.sans.map(({ value }) => value).join(", ");
  const issuer = signer?.extensions[fulcioArcs.issuerV2] ?? signer?.extensions[fulcioArcs.issuer];
  const who = names || (signer?.key === undefined ? "nobody known" : `key ${signer.key}`);
  const [digest] = digests;
  return [
    `${integratedTime.replace("T", " ")}  ${log} #${index}  ${kind}`,
    `  ${who}${issuer === undefined ? "" : ` (${issuer})`}`,
    ...(digest === undefined ? [] : [`  ${digest.algorithm}:${digest.value}`]),
  ]
    .join("\n")
    .replace(/[^\P{Cc}\n]/gu, " ");
}
