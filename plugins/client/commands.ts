/** The client's part of the CLI. */
import type { Command } from "./terminal.ts";

export type { Command, ExitCode, Terminal } from "./terminal.ts";
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
      "--identity-token TOKEN|FILE|-   the identity, as an OIDC ID token",
      "--demo-email ADDRESS            or one of a demo instance",
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
];
