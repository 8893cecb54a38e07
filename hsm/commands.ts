/** The vault's part of the CLI: what `chancery fsck` and `chancery ceremony` call. */
export { fsckVault, type VaultReport } from "./fsck.ts";
export {
  type CeremonyRequest,
  dryRunCeremony,
  performCeremony,
  rehearseCeremony,
} from "./ceremony/perform.ts";
export { formatReport } from "./ceremony/report.ts";
export { lintCeremony } from "./ceremony/review.ts";
export type { TranscriptLine } from "./ceremony/transcript.ts";
export { verifyTranscript } from "./ceremony/verify.ts";
export { VaultRefused } from "./errors.ts";
