/** `chancery sign`. */
import { basename, resolve } from "node:path";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { type Arguments, parseArguments, required } from "./arguments.ts";
import { checkOutput, openFile, readBounded, writeNew } from "./files.ts";
import { type Instance, readInstance, readSigningConfig, readTrustedRoot } from "./home.ts";
import { chooseIdToken, type IdToken, readIdToken, requestDemoToken } from "./id-token.ts";
import { type Attestation, signArtifact } from "./sign.ts";
import { chooseTimestampUrl } from "./timestamp.ts";
import { type ExitCode, type Terminal, exitCodes, usageError } from "./terminal.ts";

/** Signs FILE and writes the bundle, which has been verified then. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["FILE"],
    values: ["bundle", "identity-token", "demo-email", "attest", "type", "trusted-root"],
    switches: ["json"],
  });
  const path = resolve(terminal.folder, parsed.operands[0] ?? "");
  const output = resolve(terminal.folder, required(parsed, "bundle"));
  checkFlags(parsed);
  // All that can be wrong here is found before a certificate is asked for.
  await (await openFile(path, "the artifact")).close();
  await checkOutput(output, path);
  const attestation = await readAttestation(parsed, path, terminal);
  const instance = await readInstance(terminal);
  const trustedRoot = await readTrustedRoot(terminal, parsed.value("trusted-root"));
  const timestampUrl = chooseTimestampUrl(await readSigningConfig(terminal), new Date());
  const token = await readToken(parsed, instance, terminal);

  const { origin } = instance;
  const signed = await signArtifact({
    origin,
    timestampUrl,
    trustedRoot,
    token,
    path,
    attestation,
  });
  await writeNew(output, encodeUtf8(`${signed.bundle}\n`));

  const { identity, times, indices } = signed.verified;
  const index = String(indices[0]);
  if (parsed.has("json")) {
    const loggedAt = times[0]?.toISOString();
    terminal.print(JSON.stringify({ bundle: output, ...identity, logIndex: index, loggedAt }));
  } else {
    terminal.print(`Signed as ${identity.subjectAltName}, log index ${index}; bundle: ${output}`);
  }
  return exitCodes.ok;
}

const maxPredicateBytes = 2 * 1024 * 1024;

function checkFlags(args: Arguments): void {
  if (args.value("identity-token") !== undefined && args.value("demo-email") !== undefined) {
    throw usageError("give either --identity-token or --demo-email, not both");
  }
  if ((args.value("attest") === undefined) !== (args.value("type") === undefined)) {
    throw usageError("--attest PREDICATE and --type URI belong together");
  }
}

async function readToken(
  args: Arguments,
  instance: Instance,
  terminal: Terminal,
): Promise<IdToken> {
  const given = args.value("identity-token");
  if (given !== undefined) return await readIdToken(given, terminal);
  const demoEmail = args.value("demo-email");
  return demoEmail === undefined
    ? await chooseIdToken(instance, terminal)
    : await requestDemoToken(demoEmail, instance, terminal);
}

async function readAttestation(
  args: Arguments,
  path: string,
  terminal: Terminal,
): Promise<Attestation | null> {
  const given = args.value("attest");
  if (given === undefined) return null;
  const file = resolve(terminal.folder, given);
  try {
    const predicate = parseJsonBytes(await readBounded(file, "the predicate", maxPredicateBytes));
    return { predicateType: required(args, "type"), predicate, name: basename(path) };
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw usageError(`the predicate ${file} is not JSON: ${cause.message}`);
  }
}
