/** Homes for ceremonies, a small script, and what its transcript says. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { CeremonyRequest } from "../../hsm/commands.ts";
import { softHsmModule } from "./vault.ts";

/** The smallest script that makes keys, a certificate and files. */
export const smallScript = `
ceremony: small
version: 1
transcriptKey: transcript
parameters: [organization]
steps:
  - { step: initialiseToken, token: offline, label: small-offline, pinFile: secrets/offline-pin }
  - { step: generateKey, token: offline, label: transcript, algorithm: ecdsa-p256 }
  - { step: generateKey, token: offline, label: root-ca, algorithm: ecdsa-p384 }
  - step: rootCertificate
    key: root-ca
    organization: \${organization}
    commonName: \${organization} root
    years: 20
    out: trust/root.pem
  - { step: publishKey, key: transcript, out: trust/transcript.pub }
`;

/** A home, and how to ask for a ceremony in it. */
export interface CeremonyHome extends Disposable {
  readonly home: string;
  readonly request: CeremonyRequest;
  /** Writes another script, and asks for that. */
  readonly script: (source: string, parameters?: CeremonyRequest["parameters"]) => CeremonyRequest;
  readonly read: (path: string) => string;
}

/** A new home with SoftHSM's configuration for these tokens. */
export function ceremonyHome(
  script = smallScript,
  tokens: readonly string[] = ["online", "offline"],
): CeremonyHome {
  const home = mkdtempSync(join(tmpdir(), "chancery-ceremony-"));
  for (const name of tokens) configureToken(home, name);
  const write = (
    source: string,
    parameters: CeremonyRequest["parameters"] = { organization: "Test" },
  ) => {
    const path = join(home, "script.yaml");
    writeFileSync(path, source);
    return { script: path, home, module: softHsmModule, parameters };
  };
  return {
    home,
    request: write(script),
    script: write,
    read: (path) => readFileSync(join(home, path), "utf8"),
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true }),
  };
}

function configureToken(home: string, name: string): void {
  const folder = join(home, "tokens", name);
  mkdirSync(folder, { recursive: true });
  const lines = [
    `directories.tokendir = ${folder}`,
    "objectstore.backend = file",
    "log.level = ERROR",
    "",
  ];
  writeFileSync(join(home, `softhsm2-${name}.conf`), lines.join("\n"));
}

/** Performs in a process that kills itself. Null if it was killed, else what it complained of. */
export async function killed(
  request: CeremonyRequest,
  how: { transition?: number; call?: { name: string; number: number } },
): Promise<string | null> {
  const child = spawn(
    process.execPath,
    [new URL("../hsm/ceremony-child.ts", import.meta.url).pathname],
    { stdio: ["pipe", "ignore", "pipe"] },
  );
  const complaint = text(child.stderr);
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once("exit", (_, signal) => resolve(signal)),
  );
  child.stdin.end(JSON.stringify({ request, ...how }));
  return (await ended) === "SIGKILL" ? null : await complaint;
}
