/** What `npm start` says. */
import { relative } from "node:path";
import type { Instance } from "../config/schema.ts";

/** One line about what is being done. */
export function progress(text: string): void {
  process.stdout.write(`chancery: ${text}\n`);
}

/** How a shell calls the CLI for `home`. */
export function callOf(home: string): string {
  const shown = shortened(home);
  if (shown === ".chancery") return "./chancery";
  const isPlain = /^[A-Za-z0-9_./:@%+,-]+$/.test(shown);
  return `CHANCERY_HOME=${isPlain ? shown : `'${shown.replaceAll("'", String.raw`'\''`)}'`} ./chancery`;
}

function shortened(home: string): string {
  const below = relative(process.cwd(), home);
  return below === "" || below.startsWith("..") ? home : below;
}

/** Printed once the instance has signed and verified its proof, or serves without one. */
export function greet(said: {
  readonly home: string;
  readonly instance: Instance;
  /** Null if nothing was signed as a proof. */
  readonly proofMs: number | null;
  readonly readyMs: number;
}): void {
  const { home, instance, proofMs, readyMs } = said;
  const shown = shortened(home);
  const call = callOf(home);
  const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(1);
  const proved =
    proofMs === null
      ? "every room is well; no artifact was signed as a proof"
      : `one artifact was signed and verified in ${seconds(proofMs)} s`;
  process.stdout.write(
    [
      `chancery: ready in ${seconds(readyMs)} s; ${proved}`,
      "",
      `  origin   ${instance.origin}   (TLS on port ${instance.tlsPort}, its CA: ${shown}/trust/tls/ca.pem)`,
      `  keys     ${shown}/tokens   SoftHSM: a demo, not a real HSM`,
      `  data     ${shown}/data`,
      `  trust    ${shown}/trust/1.root.json   what clients start from, with TUF mirror ${instance.origin}/tuf`,
      "  accounts DEMO: whoever reads the home may sign as anybody",
      "",
      "Try:",
      `  ${call} sign README.md --demo-email you@example.com --bundle README.sigstore.json`,
      `  ${call} verify README.md --bundle README.sigstore.json --certificate-identity you@example.com --certificate-oidc-issuer ${instance.origin}/oidc`,
      `  ${call} status`,
      "",
      "",
    ].join("\n"),
  );
}
