/** The client's part of the CLI. */
import type { Command } from "./terminal.ts";

export type { Command, ExitCode, Reason, Terminal } from "./terminal.ts";
export { type Arguments, parseArguments } from "./arguments.ts";
export { CommandError, exitCodes } from "./terminal.ts";

const json = "[--json]";

/** Commands that need a home or nothing at all, none of them a bus. */
export const clientCommands: readonly Command[] = [
  {
    name: "sign",
    summary: "sign FILE with an identity and write a Sigstore bundle",
    usage: [
      "FILE --bundle OUT",
      "[--identity-token TOKEN|FILE|-] the identity, as an OIDC ID token; by default the pipeline's,",
      "                                or the one of chancery login --keep, or you sign in now",
      "[--demo-email ADDRESS]          or one of a demo instance",
      "[--attest PREDICATE --type URI] sign a statement about FILE instead",
      "[--trusted-root FILE]",
      json,
    ],
    load: async () => await import("./sign-command.ts"),
  },
  {
    name: "verify",
    summary: "verify FILE against its bundle",
    usage: [
      "FILE --bundle BUNDLE",
      "--certificate-identity NAME | --certificate-identity-regexp EXPRESSION",
      "--certificate-oidc-issuer URL | --certificate-oidc-issuer-regexp EXPRESSION",
      "[--type URI]          demand an attestation of this predicate type",
      "[--trusted-root FILE] believe this one, not the home's",
      json,
    ],
    load: async () => await import("./verify-command.ts"),
  },
  {
    name: "login",
    summary: "sign in and print an ID token, or keep it for sign",
    usage: [
      "[--device]      with the browser of another device",
      "[--no-browser]  print where to go and open nothing",
      "[--ambient]     ask nobody: the token of GitHub Actions, GitLab, Buildkite, SIGSTORE_ID_TOKEN,",
      "                CHANCERY_ID_TOKEN_FILE (Kubernetes, SPIFFE) or /var/run/sigstore/cosign/oidc-token",
      "[--keep | --forget]  in this session's memory, for chancery sign",
      "[--oidc-issuer URL] [--client-id ID]  another identity provider than the instance's own",
      "[--audience NAME]  of an ambient token, default sigstore",
      json,
    ],
    load: async () => await import("./login-command.ts"),
  },
  {
    name: "token",
    summary: "print an ID token of a demo account (demo instances only)",
    usage: ["--email ADDRESS", json],
    load: async () => await import("./token-command.ts"),
  },
  {
    name: "status",
    summary: "show how the instance is",
    usage: [json],
    load: async () => await import("./status-command.ts"),
  },
  {
    name: "log show",
    summary: "show a log's newest checkpoint, verified, or one of its entries",
    usage: ["[--log NAME]  default rekor", "[--index N]", json],
    load: async () => await import("./log-show-command.ts"),
  },
  {
    name: "log mirror",
    summary:
      "copy any log in tiles into a folder, verifying all of it, and go on where it was left",
    usage: [
      "URL FOLDER --key FILE|VKEY",
      "[--origin TEXT]    demand this origin; by default the first that was seen",
      "[--follow SECONDS] again and again, until it is ended",
      "[--deep]           read again what is held, and fetch anew what is damaged",
      json,
    ],
    load: async () => await import("./log-mirror-command.ts"),
  },
  {
    name: "search",
    summary: "find entries of all logs by what they say",
    usage: [
      "FIELD=VALUE ...   digest, key, certificate, san, email, issuer, kind, extension.1 to extension.24;",
      "                  all must hold; * in names, issuers and most extensions stands for any text",
      "[--file FILE]     entries about this file",
      "[--log NAME] [--since TIME] [--until TIME]   2026-11-01 or 2026-11-01T08:00:00Z",
      "[--oldest] [--limit N] [--cursor CURSOR | --all]",
      "[--proof]         with inclusion proofs, verified",
      "[--facets FIELD,...]  count the commonest values, too",
      json,
      "ends with 1 if nothing is found",
    ],
    load: async () => await import("./search-command.ts"),
  },
];
