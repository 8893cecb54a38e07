/** Runs a ceremony: checks that nothing is in its way, performs the steps in order, and ends with everything on the disk. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { syncPath } from "../../core/durable.ts";
import { VaultRefused } from "../errors.ts";
import { performIssuing, performRoot } from "./authorities.ts";
import { Bench } from "./bench.ts";
import { performGenerate, performInitialise, performState } from "./keys.ts";
import { outputsOf, parseScript, type Script, type Step } from "./script.ts";
import { performTimestamp } from "./timestamp.ts";
import { performTls } from "./tls.ts";
import { Transcript } from "./transcript.ts";
import { performTrust, performTuf } from "./trust.ts";

/** What a ceremony is to do, and where. */
export interface CeremonyRequest {
  /** Path of the script. */
  readonly script: string;
  /** Absolute path of the home that it makes. */
  readonly home: string;
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly parameters: { readonly [name: string]: string };
}

/** What came of it. */
export interface CeremonyResult {
  /** Absolute path. */
  readonly transcript: string;
}

/** Performs a ceremony in this process. @throws {VaultRefused} with one sentence */
export async function runCeremony(
  request: CeremonyRequest,
  report: (step: string) => void,
): Promise<CeremonyResult> {
  const source = await readFile(request.script, "utf8").catch(() => {
    throw new VaultRefused(`there is no ceremony script at ${request.script}`);
  });
  const script = parseScript(source, request.parameters);
  const path = join(request.home, "ceremony", `${script.ceremony}.transcript.jsonl`);
  refuseWhatExists(request.home, path, script);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  using transcript = new Transcript(path);
  await syncPath(dirname(path));
  // Certificates and trust metadata hold whole seconds.
  const startedAt = new Date(Math.floor(Date.now() / 1_000) * 1_000);
  using bench = new Bench({ home: request.home, module: request.module, transcript, startedAt });
  transcript.write("ceremony", {
    name: script.ceremony,
    scriptSha256: script.sha256,
    parameters: request.parameters,
    module: request.module,
  });
  for (const [index, step] of script.steps.entries()) {
    report(titleOf(step));
    transcript.write("step", { number: index + 1, step: step.step });
    await perform(bench, step);
  }
  await bench.syncTokens();
  transcript.end();
  return { transcript: path };
}

async function perform(bench: Bench, step: Step): Promise<void> {
  switch (step.step) {
    case "initialiseToken":
      await performInitialise(bench, step);
      return;
    case "generateKey":
      performGenerate(bench, step);
      return;
    case "rootCertificate":
      await performRoot(bench, step);
      return;
    case "issuingCertificate":
      await performIssuing(bench, step);
      return;
    case "timestampCertificate":
      await performTimestamp(bench, step);
      return;
    case "tlsCertificate":
      await performTls(bench, step);
      return;
    case "trustMaterial":
      await performTrust(bench, step);
      return;
    case "tufRepository":
      await performTuf(bench, step);
      return;
    case "vaultState":
      await performState(bench, step);
      return;
  }
}

function refuseWhatExists(home: string, transcript: string, script: Script): void {
  if (existsSync(transcript)) {
    throw new VaultRefused(
      `${home} has been through the ceremony ${script.ceremony}, or a part of it; a ceremony is never continued or repeated: ` +
        "if it did not end, remove that home and begin again",
    );
  }
  for (const output of script.steps.flatMap(outputsOf)) {
    const path = join(home, output);
    if (existsSync(path)) {
      throw new VaultRefused(`${path} exists already; remove that home and begin again`);
    }
  }
}

function titleOf(step: Step): string {
  switch (step.step) {
    case "initialiseToken":
      return `initialise the token ${step.label}`;
    case "generateKey":
      return `generate ${step.label} (${step.algorithm}) on the ${step.token} token`;
    case "rootCertificate":
    case "issuingCertificate":
    case "timestampCertificate":
      return `certify ${step.key}`;
    case "tlsCertificate":
      return `certify the TLS listener for ${step.names.join(", ")}`;
    case "trustMaterial":
      return "write trusted root and signing configuration";
    case "tufRepository":
      return "sign TUF root and targets";
    case "vaultState":
      return "write keyring and vault state";
  }
}
