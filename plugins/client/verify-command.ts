/** `chancery verify`. */
import { resolve } from "node:path";
import { parseBundle } from "../../core/formats/bundle.ts";
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import { type Arguments, parseArguments, required } from "./arguments.ts";
import { readArtifact } from "./artifact-file.ts";
import { readBounded } from "./files.ts";
import { readTrustedRoot } from "./home.ts";
import { type ExitCode, type Terminal, exitCodes, usageError } from "./terminal.ts";
import { type Expected, exactly, matching } from "./verify/identity.ts";
import { loadVerifyDigest } from "./verify-digest.ts";
import { type Verified, verifyBundle } from "./verify/verify.ts";

/** Prints "Verified OK", or what was proven with `--json`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["FILE"],
    values: [
      "bundle",
      "certificate-identity",
      "certificate-identity-regexp",
      "certificate-oidc-issuer",
      "certificate-oidc-issuer-regexp",
      "trusted-root",
      "type",
    ],
    switches: ["json"],
  });
  const bundlePath = resolve(terminal.folder, required(parsed, "bundle"));
  const policy = {
    identity: expected(parsed, "certificate-identity"),
    oidcIssuer: expected(parsed, "certificate-oidc-issuer"),
    predicateType: parsed.value("type") ?? null,
  };
  const trustedRoot = await readTrustedRoot(terminal, parsed.value("trusted-root"));
  const bundle = parseBundle(
    decodeUtf8(await readBounded(bundlePath, "the bundle", maxBundleBytes)),
  );
  const artifact = await readArtifact(resolve(terminal.folder, parsed.operands[0] ?? ""));
  const verifyDigest = await loadVerifyDigest(artifact);
  const verified = verifyBundle({ bundle, trustedRoot, artifact, policy, verifyDigest });
  terminal.print(parsed.has("json") ? JSON.stringify(describe(verified)) : "Verified OK");
  return exitCodes.ok;
}

const maxBundleBytes = 16 * 1024 * 1024;

function expected(args: Arguments, name: string): Expected {
  const exact = args.value(name);
  const pattern = args.value(`${name}-regexp`);
  if ((exact === undefined) === (pattern === undefined)) {
    throw usageError(
      `give either --${name} or --${name}-regexp: who signed is half of what is verified`,
    );
  }
  if (exact !== undefined) return exactly(exact);
  try {
    return matching(pattern ?? "");
  } catch {
    throw usageError(`--${name}-regexp is not a regular expression`);
  }
}

function describe({ identity, times, indices }: Verified): object {
  return {
    verified: true,
    certificateIdentity: identity.subjectAltName,
    certificateOidcIssuer: identity.oidcIssuer,
    loggedAt: times.map((time) => time.toISOString()),
    logIndices: indices.map(String),
  };
}
