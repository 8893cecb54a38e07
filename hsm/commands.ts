/** The vault's part of the CLI: what `chancery fsck` and `chancery ceremony` call. */
export { fsckVault, type VaultReport } from "./fsck.ts";
export { type CeremonyRequest, performCeremony } from "./ceremony/perform.ts";
export { type TranscriptLine, verifyTranscript } from "./ceremony/transcript.ts";
export { VaultRefused } from "./errors.ts";
