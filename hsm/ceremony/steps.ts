/**
 * Every kind of step: what it says before it begins, what it makes, what must hold before, what happens if it is done again after an
 * interruption, what is checked after, and what is kept out of the transcript.
 */
import {
  performIntermediate,
  performIssuing,
  performRoot,
  performSingle,
  performTimestamp,
  performUseCertificate,
} from "./authorities.ts";
import type { Bench } from "./bench.ts";
import { performBind, performDestroy, performRetire } from "./keyring-change.ts";
import {
  performGenerate,
  performInitialise,
  performOpen,
  performPublish,
  performState,
  performUse,
} from "./keys.ts";
import type { Step, StepOf } from "./script.ts";
import { performTls } from "./tls.ts";
import { performTrust, performTuf } from "./trust.ts";
import { performTufRoot } from "./tuf-root.ts";

interface StepKind<Kind extends Step["step"]> {
  readonly title: (step: StepOf<Kind>) => string;
  /** Files that it makes, which therefore must not exist before. */
  readonly outputs: (step: StepOf<Kind>) => readonly (string | undefined)[];
  readonly precondition: string;
  readonly again: string;
  readonly checks: string;
  readonly redaction: string;
  readonly perform: (bench: Bench, step: StepOf<Kind>) => void | Promise<void>;
}

const nothingSecret = "nothing is secret";
const none = (): readonly string[] => [];
const certified = {
  precondition: "the keys and the issuer's certificate are known to the ceremony",
  again: "serial number and signature are taken from the transcript, so the same bytes result",
  checks:
    "linted under a throw-away key, same bytes signed, read back, linted again, verified by node:crypto, @peculiar/x509 and openssl",
  redaction: nothingSecret,
};
const keyringChange = {
  outputs: none,
  precondition: "the home is stopped: the vault's lock is taken",
  again: "a keyring that holds the change already is left as it is",
  checks: "the keyring parses; it is what the ceremony read, or what it wrote",
  redaction: nothingSecret,
};

/** All kinds. */
const stepKinds: { readonly [Kind in Step["step"]]: StepKind<Kind> } = {
  initialiseToken: {
    title: ({ label }) => `initialise the token ${label}`,
    outputs: ({ pinFile }) => [pinFile],
    precondition: "a free slot, and no token of this label",
    again: "a token that the transcript announced is taken if its serial number and PIN are right",
    checks: "the token shows no object; maker, model, firmware and serial number are recorded",
    redaction: "PINs are never recorded, not even their hash",
    perform: performInitialise,
  },
  openToken: {
    title: ({ label }) => `open the token ${label}`,
    outputs: none,
    precondition: "exactly one token of this label and serial number; no wrong PIN was tried last",
    again: "the serial number must be the transcript's",
    checks: "all objects are listed",
    redaction: "the PIN is never recorded",
    perform: performOpen,
  },
  generateKey: {
    title: ({ label, algorithm, token }) =>
      `generate ${label} (${algorithm}) on the ${token} token`,
    outputs: none,
    precondition: "the label is not in use on the token",
    again:
      "the pair of the announced identifier is taken if it equals the transcript's, else the ceremony stops",
    checks: "attributes and public half are read back: never extractable, sign only",
    redaction: "the private half never leaves the token",
    perform: performGenerate,
  },
  useKey: {
    title: ({ label, token }) => `find ${label} on the ${token} token`,
    outputs: none,
    precondition: "exactly one private key of this label, whose public half has the pinned hash",
    again: "found again",
    checks: "attributes and public half are read back",
    redaction: nothingSecret,
    perform: performUse,
  },
  useCertificate: {
    title: ({ key }) => `read the certificate of ${key}`,
    outputs: none,
    precondition: "the certificate is of that key",
    again: "read again",
    checks: "public key compared",
    redaction: nothingSecret,
    perform: performUseCertificate,
  },
  publishKey: {
    title: ({ key, out }) => `write the public half of ${key} to ${out}`,
    outputs: ({ out }) => [out],
    precondition: "the key is known to the ceremony",
    again: "the same bytes are left, others stop the ceremony",
    checks: "hash recorded",
    redaction: nothingSecret,
    perform: performPublish,
  },
  rootCertificate: {
    ...certified,
    title: ({ key }) => `certify ${key}`,
    outputs: ({ out }) => [out],
    perform: performRoot,
  },
  issuingCertificate: {
    ...certified,
    title: ({ key }) => `certify ${key}`,
    outputs: ({ out }) => [out],
    perform: performIssuing,
  },
  intermediateCertificate: {
    ...certified,
    title: ({ key, purpose }) => `certify ${key} as intermediate CA for ${purpose}`,
    outputs: ({ out }) => [out],
    perform: performIntermediate,
  },
  singleCertificate: {
    ...certified,
    title: ({ key }) => `certify ${key}, a CA that is its own root`,
    outputs: ({ out }) => [out],
    perform: performSingle,
  },
  timestampCertificate: {
    ...certified,
    title: ({ key }) => `certify ${key} as timestamp authority`,
    outputs: ({ out, chainOut }) => [out, chainOut],
    perform: performTimestamp,
  },
  tlsCertificate: {
    title: ({ names }) => `certify the TLS listener for ${names.join(", ")}`,
    outputs: ({ keyOut, certificateOut, authorityOut }) => [keyOut, certificateOut, authorityOut],
    precondition: "no file of its own is there",
    again: "what an interruption left is removed and made anew; what is complete is compared",
    checks: "names, addresses, signature and issuer as node:crypto sees them",
    redaction:
      "the server's key is a file of mode 0600 without a hash in the transcript; the CA's is forgotten",
    perform: performTls,
  },
  trustMaterial: {
    title: () => "write trusted root and signing configuration",
    outputs: ({ trustedRootOut, signingConfigOut, logV2 }) => [
      trustedRootOut,
      signingConfigOut,
      logV2?.signingConfigOut,
    ],
    precondition: "keys and certificates are known to the ceremony",
    again: "the same bytes are left, others stop the ceremony",
    checks: "both parse strictly",
    redaction: nothingSecret,
    perform: performTrust,
  },
  tufRepository: {
    title: () => "sign TUF root and targets",
    outputs: ({ out, rootCopyOut }) => [`${out}/1.root.json`, `${out}/1.targets.json`, rootCopyOut],
    precondition: "every key is known to the ceremony, every target file exists",
    again: "signatures are taken from the transcript, so the same bytes result",
    checks: "thresholds hold for what was written, read by the parser that clients use",
    redaction: nothingSecret,
    perform: performTuf,
  },
  tufRoot: {
    title: ({ out }) => `sign ${out.split("/").at(-1)}`,
    outputs: ({ out }) => [out],
    precondition:
      "the root in force has the pinned hash; those who sign are enough for it and for the new one",
    again: "signatures are taken from the transcript, so the same bytes result",
    checks: "the thresholds of both roots hold for what was written, read as clients read it",
    redaction: nothingSecret,
    perform: performTufRoot,
  },
  vaultState: {
    title: () => "write keyring and vault state",
    outputs: ({ keyringOut, stateOut }) => [keyringOut, `${stateOut}/vault.db`],
    precondition: "every key on the token has purposes and askers",
    again: "a half-made empty state is removed and made anew; nothing was signed under it",
    checks: "the keyring parses",
    redaction: nothingSecret,
    perform: performState,
  },
  bindKey: {
    ...keyringChange,
    title: ({ key }) => `add ${key} to the keyring`,
    perform: performBind,
  },
  retireKey: {
    ...keyringChange,
    title: ({ key }) => `take ${key} out of the keyring`,
    perform: performRetire,
  },
  destroyKey: {
    title: ({ key }) => `destroy ${key}`,
    outputs: none,
    precondition:
      "the home is stopped, the key is in no keyring, and label and hash are confirmed in the script",
    again: "a destruction that was announced is completed",
    checks: "the token finds neither half",
    redaction: nothingSecret,
    perform: performDestroy,
  },
};

/** What an operator is told of a step before it is performed. */
export function titleOf(step: Step): string {
  return kindOf(step).title(step);
}

/** Every file that a step makes. */
export function outputsOf(step: Step): readonly string[] {
  return kindOf(step)
    .outputs(step)
    .filter((path) => path !== undefined);
}

/** Performs one step, for the first time or after an interruption. */
export async function performStep(bench: Bench, step: Step): Promise<void> {
  await kindOf(step).perform(bench, step);
}

/** What is promised of a kind of step, for its record; null for a word that is none. */
export function promisesOf(kind: string): {
  readonly precondition: string;
  readonly again: string;
  readonly checks: string;
  readonly redaction: string;
} | null {
  return Object.entries(stepKinds).find(([name]) => name === kind)?.[1] ?? null;
}

function kindOf<Kind extends Step["step"]>(step: StepOf<Kind> & { step: Kind }): StepKind<Kind> {
  return stepKinds[step.step];
}
